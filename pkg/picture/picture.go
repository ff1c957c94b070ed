package picture

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	_ "image/gif" // a format that pictures come in
	"image/jpeg"
	"image/png"
	"slices"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // likewise
)

const (
	maxMemory = 52 << 20 // bytes of a decoded picture: 13 million pixels of a telephone's camera
	maxScans  = 20       // of a JPEG: ten are usual for a progressive one
	atOnce    = 2        // pictures: the rest of the machine is for people who sign in
	quality   = 88       // of a JPEG of ours
)

// ErrUnfit: it is no picture, or none that is taken.
var ErrUnfit = errors.New("no picture that is taken: PNG, JPEG, GIF or WebP, within the limits")

// Limits are what a picture may be as it comes.
type Limits struct {
	Bytes int
	Side  int // pixels, of the longer side; judged before anything is decoded
}

// places are those at which pictures are drawn: one each, for the whole process.
var places = make(chan struct{}, atOnce)

// Fit draws a picture anew as a PNG, no side longer than side: its shape and what shows through it stay.
// Errors: ErrUnfit, and ctx's while others are being drawn.
func Fit(ctx context.Context, raw []byte, from Limits, side int) ([]byte, error) {
	return drawn(ctx, raw, from, func(src image.Image, _ int) ([]byte, error) {
		w, h := src.Bounds().Dx(), src.Bounds().Dy()
		if longest := max(w, h); longest > side {
			w, h = max(1, w*side/longest), max(1, h*side/longest)
		}
		var out bytes.Buffer
		err := png.Encode(&out, scaled(src, src.Bounds(), w, h, color.Transparent))
		return out.Bytes(), err
	})
}

// Square draws the middle of a picture anew as a JPEG, upright, on white, no side longer than side.
// Errors: ErrUnfit, and ctx's while others are being drawn.
func Square(ctx context.Context, raw []byte, from Limits, side int) ([]byte, error) {
	return drawn(ctx, raw, from, func(src image.Image, turn int) ([]byte, error) {
		b := src.Bounds()
		edge := min(b.Dx(), b.Dy())
		corner := b.Min.Add(image.Pt((b.Dx()-edge)/2, (b.Dy()-edge)/2))
		to := scaled(src, image.Rectangle{corner, corner.Add(image.Pt(edge, edge))}, min(edge, side), min(edge, side), color.White)
		var out bytes.Buffer
		err := jpeg.Encode(&out, upright(to, turn), &jpeg.Options{Quality: quality})
		return out.Bytes(), err
	})
}

// drawn judges, decodes and draws a picture, at one of the places.
func drawn(ctx context.Context, raw []byte, from Limits, draw func(src image.Image, turn int) ([]byte, error)) (out []byte, err error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		if recover() != nil { // a decoder that a stranger's bytes have brought to its end
			out, err = nil, ErrUnfit
		}
	}()
	turn, ok := judge(raw, from)
	if !ok {
		return nil, ErrUnfit
	}
	src, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, ErrUnfit
	}
	if out, err = draw(src, turn); err != nil {
		return nil, ErrUnfit
	}
	return out, nil
}

// judge says, before anything is decoded, whether a picture can be afforded: a small file can be a huge one (S1). turn is
// how it stands (see upright).
func judge(raw []byte, from Limits) (turn int, ok bool) {
	if len(raw) > from.Bytes {
		return 0, false
	}
	size, kind, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil || size.Width < 1 || size.Height < 1 || size.Width > from.Side || size.Height > from.Side {
		return 0, false
	}
	each, turn := 4, 1 // bytes a pixel
	switch kind {
	case "png":
		if deep := []color.Model{color.RGBA64Model, color.NRGBA64Model, color.Gray16Model}; slices.Contains(deep, size.ColorModel) {
			each = 8
		}
	case "jpeg":
		// Each scan of a few bytes goes over all of the picture: thousands of them take minutes.
		if bytes.Count(raw, []byte{0xff, 0xda}) > maxScans {
			return 0, false
		}
		var progressive bool
		if turn, progressive = survey(raw); progressive {
			each = 16 // its coefficients are kept until the last scan
		}
	case "gif", "webp":
	default: // another format that some package has registered
		return 0, false
	}
	return turn, size.Width*size.Height <= maxMemory/each
}

// scaled draws a part of a picture in another size.
func scaled(src image.Image, part image.Rectangle, w, h int, ground color.Color) *image.NRGBA {
	if part.Dx() > 4*w || part.Dy() > 4*h {
		// The good scaler takes time and memory by the pixel of the source: sixteen of them for each of ours are enough.
		near := image.NewNRGBA(image.Rect(0, 0, min(4*w, part.Dx()), min(4*h, part.Dy())))
		draw.NearestNeighbor.Scale(near, near.Bounds(), src, part, draw.Src, nil)
		src, part = near, near.Bounds()
	}
	to := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(to, to.Bounds(), image.NewUniform(ground), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(to, to.Bounds(), src, part, draw.Over, nil)
	return to
}
