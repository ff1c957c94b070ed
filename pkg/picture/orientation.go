package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// survey walks a JPEG's segments up to its first scan: how it stands, by its Exif data (1 to 8; 1 when they do not say),
// and whether it is progressive. It believes no length that it reads, and steps over what image/jpeg steps over: a picture
// must not be another one for us than for the decoder.
func survey(raw []byte) (turn int, progressive bool) {
	turn = 1
	for rest := raw[2:]; len(rest) >= 4; {
		marker, size := rest[1], int(binary.BigEndian.Uint16(rest[2:]))
		switch {
		case rest[0] != 0xff, marker == 0xff: // what belongs to no segment, and fill
			rest = rest[1:]
			continue
		case marker == 0, 0xd0 <= marker && marker <= 0xd7: // an escape or a restart, of no scan
			rest = rest[2:]
			continue
		case marker == 0xda || size < 2 || size > len(rest)-2:
			return turn, progressive
		case marker == 0xc2:
			progressive = true
		case marker == 0xe1:
			if t := exifTurn(rest[4 : 2+size]); t != 0 {
				turn = t
			}
		}
		rest = rest[2+size:]
	}
	return turn, progressive
}

// exifTurn reads the tag Orientation (Exif 2.32 §4.6.4); 0: there is none.
func exifTurn(segment []byte) int {
	tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := order.Uint32(tiff[4:])
	if uint64(at)+2 > uint64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for n := order.Uint16(tiff[at:]); n > 0 && len(entries) >= 12; n-- {
		if order.Uint16(entries) == 0x0112 {
			if t := int(order.Uint16(entries[8:])); 1 <= t && t <= 8 {
				return t
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}

// upright turns and mirrors a square as its Exif data say that it is to be seen.
func upright(src *image.NRGBA, turn int) *image.NRGBA {
	if turn < 2 || turn > 8 {
		return src
	}
	last := src.Bounds().Dx() - 1
	to := image.NewNRGBA(src.Bounds())
	for y := range last + 1 {
		for x := range last + 1 {
			fx, fy := x, y // where the pixel comes from
			switch turn {
			case 2:
				fx = last - x
			case 3:
				fx, fy = last-x, last-y
			case 4:
				fy = last - y
			case 5:
				fx, fy = y, x
			case 6:
				fx, fy = y, last-x
			case 7:
				fx, fy = last-y, last-x
			case 8:
				fx, fy = last-y, x
			}
			to.SetNRGBA(x, y, src.NRGBAAt(fx, fy))
		}
	}
	return to
}
