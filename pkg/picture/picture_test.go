package picture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/pkg/picture"
)

var limits = picture.Limits{Bytes: 2 << 20, Side: 8192}

func encoded(t *testing.T, encode func(b *bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// quarters is a picture whose corners are red, green, blue and white, from the upper left on as one reads.
func quarters(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := []color.NRGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}}
			m.SetNRGBA(x, y, c[y*2/h*2+x*2/w])
		}
	}
	return m
}

func pngOf(t *testing.T, m image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, m) })
}

func jpegOf(t *testing.T, m image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) })
}

// corners are the letters of the colours that stand in a picture's corners.
func corners(t *testing.T, raw []byte) string {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, text := m.Bounds(), ""
	for _, p := range []image.Point{{0, 0}, {b.Dx() - 1, 0}, {0, b.Dy() - 1}, {b.Dx() - 1, b.Dy() - 1}} {
		r, g, u, _ := m.At(p.X, p.Y).RGBA()
		text += map[[3]bool]string{{true, false, false}: "r", {false, true, false}: "g", {false, false, true}: "b", {true, true, true}: "w"}[[3]bool{r > 0x8000, g > 0x8000, u > 0x8000}]
	}
	return text
}

// exif is a JPEG with a tag that says how it stands, and a place where it was taken.
func exif(raw []byte, order binary.AppendByteOrder, turn uint16) []byte {
	mark := "MM"
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		mark = "II"
	}
	tiff := order.AppendUint16([]byte("Exif\x00\x00"+mark), 42)
	tiff = order.AppendUint16(order.AppendUint32(tiff, 8), 2)
	tiff = append(order.AppendUint16(order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, 0x0110), 2), 4), 0), 0, 0)
	tiff = append(order.AppendUint16(order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, 0x0112), 3), 1), turn), 0, 0)
	tiff = append(tiff, "GPS 40.4168,-3.7038"...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(tiff)+2))
	return slices.Concat(raw[:2], segment, tiff, raw[2:])
}

func TestSquare(t *testing.T) {
	ctx := t.Context()
	t.Run("each format becomes a JPEG of our size, of the middle", func(t *testing.T) {
		for name, c := range map[string]struct {
			raw  []byte
			side int
		}{
			"png":       {pngOf(t, quarters(900, 600)), 512},
			"jpeg":      {jpegOf(t, quarters(600, 900)), 512},
			"gif":       {encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, quarters(300, 200), nil) }), 200},
			"large":     {pngOf(t, quarters(4000, 3000)), 512},
			"one pixel": {pngOf(t, image.NewGray(image.Rect(0, 0, 1, 1))), 1},
			"16 bits":   {pngOf(t, image.NewNRGBA64(image.Rect(0, 0, 600, 600))), 512},
			"long":      {pngOf(t, image.NewGray(image.Rect(0, 0, 8192, 1))), 1},
		} {
			out, err := picture.Square(ctx, c.raw, limits, 512)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			size, kind, err := image.DecodeConfig(bytes.NewReader(out))
			if err != nil || kind != "jpeg" || size.Width != c.side || size.Height != c.side {
				t.Errorf("%s: %s %+v %v", name, kind, size, err)
			}
		}
		if out, err := picture.Square(ctx, pngOf(t, quarters(900, 600)), limits, 64); err != nil || corners(t, out) != "rgbw" {
			t.Errorf("%v", err)
		}
	})
	t.Run("what shows through is white", func(t *testing.T) {
		out, err := picture.Square(ctx, pngOf(t, image.NewNRGBA(image.Rect(0, 0, 9, 9))), limits, 512)
		if err != nil || corners(t, out) != "wwww" {
			t.Error(err)
		}
	})
	t.Run("WebP", func(t *testing.T) {
		out, err := picture.Square(ctx, webp, limits, 512)
		if err != nil || corners(t, out) == "" {
			t.Error(err)
		}
	})
	t.Run("it stands upright, and says nothing of where it was taken", func(t *testing.T) {
		raw := jpegOf(t, quarters(64, 48))
		for turn, want := range []string{"rgbw", "rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb", "rgbw"} {
			for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
				tagged := exif(raw, order, uint16(turn))
				out, err := picture.Square(ctx, tagged, limits, 512)
				if err != nil {
					t.Fatal(err)
				}
				if got := corners(t, out); got != want {
					t.Errorf("orientation %d: %s, want %s", turn, got, want)
				}
				if !bytes.Contains(tagged, []byte("GPS")) || bytes.Contains(out, []byte("GPS")) || bytes.Contains(out, []byte("Exif")) {
					t.Error("its data came along")
				}
			}
		}
		for cut := range 60 { // lengths that lie
			_, _ = picture.Square(ctx, exif(raw, binary.BigEndian, 6)[:cut+2], limits, 512)
		}
	})
	t.Run("a polyglot is a picture, and nothing else afterwards", func(t *testing.T) {
		raw := append(pngOf(t, quarters(8, 8)), "<script>alert(1)</script>PK\x03\x04"...)
		out, err := picture.Square(ctx, raw, limits, 512)
		if err != nil || bytes.Contains(out, []byte("script")) || bytes.Contains(out, []byte("PK")) {
			t.Error(err)
		}
	})
	t.Run("S1 D5 bombs, and what is none of ours", func(t *testing.T) {
		small := pngOf(t, image.NewGray(image.Rect(0, 0, 64, 64)))
		for name, raw := range map[string][]byte{
			"empty": {}, "text": []byte("hello"), "svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>`),
			"html before": append([]byte("<html>"), small...), "cut": small[:60], "a cut JPEG": jpegOf(t, quarters(64, 64))[:200],
			"too many bytes": append(slices.Clone(small), make([]byte, limits.Bytes)...),
			"a side":         pngOf(t, image.NewGray(image.Rect(0, 0, 8193, 1))),
			"huge":           sized(small, 8192, 8192), "beyond": sized(small, 1<<31-1, 1<<31-1), "none": sized(small, 0, 0),
			"deep":  pngOf(t, image.NewGray16(image.Rect(0, 0, 3000, 3000))),
			"scans": scans(t, 21), "bmp": []byte("BM" + strings.Repeat("\x00", 100)), "pdf": []byte("%PDF-1.7"),
			"progressive":                 progressive(t),
			"progressive after a byte":    before(progressive(t), 0x00),
			"progressive after a fill":    before(progressive(t), 0xff, 0xff),
			"progressive after a restart": before(progressive(t), 0xff, 0xd3),
			"progressive after an escape": before(progressive(t), 0x2a, 0xff, 0x00),
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if out, err := picture.Square(ctx, raw, limits, 512); !errors.Is(err, picture.ErrUnfit) || out != nil {
				t.Errorf("%s: %v", name, err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
				t.Errorf("%s took %d bytes before it was refused", name, took)
			}
			if out, err := picture.Fit(ctx, raw, limits, 512); !errors.Is(err, picture.ErrUnfit) || out != nil {
				t.Errorf("%s as a logo: %v", name, err)
			}
		}
		if _, err := picture.Square(ctx, scans(t, 20), limits, 512); err != nil {
			t.Errorf("a JPEG of twenty scans: %v", err)
		}
	})
	t.Run("nobody waits for ever", func(t *testing.T) {
		over, cancel := context.WithCancel(ctx)
		cancel()
		lost := 0
		for range 20 { // of two ways that are both open one is taken by lot
			if _, err := picture.Square(over, pngOf(t, quarters(2, 2)), limits, 512); errors.Is(err, context.Canceled) {
				lost++
			}
		}
		if lost == 0 {
			t.Error("the context is not asked")
		}
	})
}

func TestFit(t *testing.T) {
	for _, c := range [][4]int{{600, 300, 256, 128}, {300, 1200, 64, 256}, {100, 50, 100, 50}, {4000, 1, 256, 1}} {
		out, err := picture.Fit(t.Context(), pngOf(t, image.NewNRGBA(image.Rect(0, 0, c[0], c[1]))), limits, 256)
		if err != nil {
			t.Fatal(err)
		}
		m, kind, err := image.Decode(bytes.NewReader(out))
		if err != nil || kind != "png" || m.Bounds().Dx() != c[2] || m.Bounds().Dy() != c[3] {
			t.Errorf("%v: %s %v %v", c, kind, m.Bounds(), err)
		}
		if _, _, _, a := m.At(0, 0).RGBA(); a != 0 {
			t.Error("what shows through does no more")
		}
	}
}

// sized is a PNG whose header says another size.
func sized(raw []byte, w, h uint32) []byte {
	out := slices.Clone(raw)
	binary.BigEndian.PutUint32(out[16:], w)
	binary.BigEndian.PutUint32(out[20:], h)
	binary.BigEndian.PutUint32(out[29:], crc32.ChecksumIEEE(out[12:29]))
	return out
}

// scans is a JPEG whose one scan is repeated: each goes over all of the picture.
func scans(t *testing.T, n int) []byte {
	raw := jpegOf(t, image.NewGray(image.Rect(0, 0, 64, 64)))
	start, end := bytes.Index(raw, []byte{0xff, 0xda}), len(raw)-2
	return slices.Concat(raw[:start], bytes.Repeat(raw[start:end], n), raw[end:])
}

// progressive is a JPEG of four million pixels whose first scan is that of a progressive one.
func progressive(t *testing.T) []byte {
	raw := jpegOf(t, image.NewGray(image.Rect(0, 0, 2000, 2000)))
	raw[bytes.Index(raw, []byte{0xff, 0xc0})+1] = 0xc2
	raw[bytes.Index(raw, []byte{0xff, 0xda})+8] = 0
	return raw
}

// before is a JPEG with bytes between two segments, before its frame's header. Decoders step over them.
func before(raw []byte, extra ...byte) []byte {
	frame := bytes.Index(raw, []byte{0xff, 0xc2})
	return slices.Concat(raw[:frame], extra, raw[frame:])
}

// webp is a lossless one of one pixel.
var webp = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")
