package human

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
)

// The size of the picture, in pixels.
const (
	PictureWidth  = 240
	PictureHeight = 80
)

type point struct{ x, y float64 }

// arc gives the points of a part of an ellipse, from one angle to another (degrees; clockwise, from the right).
func arc(cx, cy, rx, ry, from, to float64) (line []point) {
	const steps = 14
	for i := range steps + 1 {
		a := (from + (to-from)*float64(i)/steps) * math.Pi / 180
		line = append(line, point{cx + rx*math.Cos(a), cy + ry*math.Sin(a)})
	}
	return line
}

// glyphs are the digits as a pen draws them, in a box one wide and two high.
var glyphs = [10][][]point{
	{arc(.5, 1, .45, .9, 0, 360)},
	{{{.2, .45}, {.55, .1}, {.55, 1.9}}},
	{append(arc(.5, .55, .42, .45, 190, 380), point{.05, 1.88}, point{.98, 1.88})},
	{arc(.45, .52, .42, .42, 200, 450), arc(.45, 1.4, .5, .48, -90, 150)},
	{{{.72, 1.9}, {.72, .1}, {.02, 1.3}, {1, 1.3}}},
	{append([]point{{.92, .12}, {.2, .12}, {.12, .9}}, arc(.45, 1.3, .5, .58, 225, 500)...)},
	{append([]point{{.78, .1}}, arc(.5, 1.35, .44, .55, 200, 560)...)},
	{{{.05, .12}, {.95, .12}, {.4, 1.9}}, {{.28, 1}, {.9, 1}}}, // crossed: no 1
	{arc(.5, .52, .36, .42, 0, 360), arc(.5, 1.4, .46, .5, 0, 360)},
	{append(arc(.5, .62, .44, .52, 0, 360), point{.92, .8}, point{.62, 1.9})},
}

// stroke is a line of the picture, from a to b.
type stroke struct {
	a, b  point
	width float64
	shade float64 // 0 is the paper, 1 the ink
}

// draw makes the picture: each digit turned, leaned and stretched by itself, all on a wave, lines of the same ink through
// them, and grain.
func draw(digits string, seed [32]byte) ([]byte, error) {
	r := rand.New(rand.NewChaCha8(seed))
	in := func(from, to float64) float64 { return from + (to-from)*r.Float64() }
	var strokes []stroke
	line := func(points []point, width, shade float64) {
		for i := 1; i < len(points); i++ {
			strokes = append(strokes, stroke{points[i-1], points[i], width, shade})
		}
	}
	wave, phase, length := in(3, 6), in(0, 2*math.Pi), in(60, 110)
	x := in(12, 20)
	for _, d := range digits {
		size, turn, lean, width := in(19, 25), in(-.3, .3), in(-.28, .28), in(2.4, 3.6)
		middle := point{x + size/2, PictureHeight/2 + in(-7, 7)}
		for _, points := range glyphs[d-'0'] {
			var moved []point
			for _, p := range points {
				px, py := (p.x-.5)*size, (p.y-1)*size
				px += lean * py
				q := point{middle.x + px*math.Cos(turn) - py*math.Sin(turn), middle.y + px*math.Sin(turn) + py*math.Cos(turn)}
				q.y += wave * math.Sin(q.x/length*2*math.Pi+phase)
				moved = append(moved, q)
			}
			line(moved, width, 1)
		}
		x += size + in(9, 14)
	}
	for range 4 {
		from, to := point{in(-10, 30), in(5, PictureHeight-5)}, point{in(PictureWidth-30, PictureWidth+10), in(5, PictureHeight-5)}
		high, periods, shift := in(6, 18), in(.6, 2.2), in(0, 2*math.Pi)
		var curve []point
		for i := range 40 {
			t := float64(i) / 39
			curve = append(curve, point{from.x + (to.x-from.x)*t, from.y + (to.y-from.y)*t + high*math.Sin(t*periods*2*math.Pi+shift)})
		}
		line(curve, in(1.2, 2), in(.7, 1))
	}
	return paint(strokes, r)
}

// paint puts the strokes on paper, with soft edges, and grain over all of it.
func paint(strokes []stroke, r *rand.Rand) ([]byte, error) {
	ink := make([]float64, PictureWidth*PictureHeight)
	for _, s := range strokes {
		reach := s.width/2 + 1
		for y := max(0, int(min(s.a.y, s.b.y)-reach)); y <= min(PictureHeight-1, int(max(s.a.y, s.b.y)+reach)); y++ {
			for x := max(0, int(min(s.a.x, s.b.x)-reach)); x <= min(PictureWidth-1, int(max(s.a.x, s.b.x)+reach)); x++ {
				cover := min(1, max(0, s.width/2+.5-distance(point{float64(x), float64(y)}, s.a, s.b)))
				i := y*PictureWidth + x
				ink[i] = max(ink[i], cover*s.shade)
			}
		}
	}
	palette := make(color.Palette, 16)
	for i := range palette {
		palette[i] = color.Gray{uint8(255 - i*14)}
	}
	img := image.NewPaletted(image.Rect(0, 0, PictureWidth, PictureHeight), palette)
	for i, v := range ink {
		grain := r.NormFloat64() * 1.6
		if r.IntN(40) == 0 {
			grain += float64(r.IntN(13) - 4)
		}
		img.Pix[i] = uint8(min(15, max(0, v*15+grain)))
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img); err != nil {
		return nil, fmt.Errorf("encode a picture: %w", err)
	}
	return out.Bytes(), nil
}

// distance is that of p from the line between a and b.
func distance(p, a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = min(1, max(0, ((p.x-a.x)*dx+(p.y-a.y)*dy)/l))
	}
	return math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy)
}
