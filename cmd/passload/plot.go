package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The picture: a row a scenario, latency over time on the left, latency by percentile on the right.
const (
	plotWide, plotHigh   = 440.0, 190.0 // of one plot's inside
	plotLeft, plotAbove  = 64.0, 56.0   // room for labels
	plotBelow, plotRight = 46.0, 26.0
)

// lines are the percentiles drawn over time. The dash tells them apart without colour.
var lines = []struct {
	name, style string
	of          func(point) float64
}{
	{"p50", `stroke="#0b6b3a"`, func(p point) float64 { return p.P50 }},
	{"p95", `stroke="#b35900" stroke-dasharray="6 3"`, func(p point) float64 { return p.P95 }},
	{"p99", `stroke="#b00020" stroke-dasharray="2 3"`, func(p point) float64 { return p.P99 }},
}

// plot draws a report. It takes no script and no font from elsewhere.
func plot(r *report) []byte {
	var b bytes.Buffer
	rowHigh := plotAbove + plotHigh + plotBelow
	wide, high := 2*(plotLeft+plotWide+plotRight), 30+float64(max(len(r.Scenarios), 1))*rowHigh
	loop := fmt.Sprintf("%d workers", r.Workers)
	if r.Rate > 0 {
		loop += fmt.Sprintf(", %g a second", r.Rate)
	}
	head := fmt.Sprintf("%s, %s, %s", r.Issuer, r.At.Format("2006-01-02 15:04 MST"), loop)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="system-ui, sans-serif" font-size="12" fill="#1a1a1a">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%g" y="22" font-size="14">%s</text>
`, wide, high, escape(head), plotLeft, escape(head))
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		y := 30 + float64(i)*rowHigh + plotAbove
		fmt.Fprintf(&b, "<text x=\"%g\" y=\"%g\" font-size=\"14\" font-weight=\"bold\">%s: %.1f a second, %d failed</text>\n",
			plotLeft, y-24, escape(s.Scenario), s.PerSecond, s.Failed)
		overTime(&b, s, plotLeft, y)
		byPercentile(&b, s, 2*plotLeft+plotWide+plotRight, y)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func escape(s string) string { return html.EscapeString(printable(s, 300)) }

// axis turns values into places.
type axis struct {
	x, y   float64 // of the upper left corner
	mx, my float64 // highest values
}

func (a axis) at(x, y float64) (float64, float64) {
	return a.x + plotWide*x/a.mx, a.y + plotHigh*(1-y/a.my)
}

// frame draws the box and the scale of latencies.
func (a axis) frame(b *bytes.Buffer, below string) {
	fmt.Fprintf(b, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"none\" stroke=\"#888\"/>\n", a.x, a.y, plotWide, plotHigh)
	for i := range 5 {
		v := a.my * float64(i) / 4
		_, y := a.at(0, v)
		fmt.Fprintf(b, "<path d=\"M%.1f %.1fh%g\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", a.x, y, plotWide, a.x-6, y+4, number(v))
	}
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\">ms</text><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
		a.x-52, a.y-6, a.x+plotWide/2, a.y+plotHigh+36, below)
}

func (a axis) tick(b *bytes.Buffer, x float64, label string) {
	at, _ := a.at(x, 0)
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", at, a.y+plotHigh+16, label)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// ceiling is a round number that is not below v.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

func overTime(b *bytes.Buffer, s *result, x, y float64) {
	a := axis{x, y, max(s.Seconds, 0.001), 0}
	most := uint64(0)
	for _, p := range s.Series {
		a.my, most = max(a.my, p.P99), max(most, p.Failed)
	}
	a.my = ceiling(a.my)
	a.frame(b, "seconds")
	for i := range 5 {
		a.tick(b, a.mx*float64(i)/4, number(a.mx*float64(i)/4))
	}
	long := 1.0
	if len(s.Series) > 1 {
		long = s.Series[1].From
	}
	for _, p := range s.Series { // how much failed: grey bars, the highest a quarter of the plot
		if p.Failed == 0 {
			continue
		}
		left, top := a.at(p.From, a.my/4*float64(p.Failed)/float64(most))
		fmt.Fprintf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#999\"><title>%d failed</title></rect>\n",
			left, top, max(plotWide*min(long, a.mx-p.From)/a.mx, 1), a.y+plotHigh-top, p.Failed)
	}
	for i, l := range lines {
		a.line(b, l.style, s.Series, func(p point) (float64, float64, bool) {
			return min(p.From+long/2, a.mx), l.of(p), p.P99 > 0
		})
		fmt.Fprintf(b, "<path d=\"M%.1f %.1fh22\" fill=\"none\" stroke-width=\"2\" %s/><text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			a.x+plotWide-210+70*float64(i), a.y-10, l.style, a.x+plotWide-184+70*float64(i), a.y-6, l.name)
	}
}

// line draws one, with gaps where there is nothing.
func (a axis) line(b *bytes.Buffer, style string, points []point, at func(point) (x, y float64, ok bool)) {
	var d strings.Builder
	down, drawn := false, 0
	for _, p := range points {
		x, y, ok := at(p)
		if !ok {
			down = false
			continue
		}
		x, y = a.at(x, y)
		command := map[bool]byte{false: 'M', true: 'L'}[down]
		fmt.Fprintf(&d, "%c%.1f %.1f", command, x, y)
		down, drawn = true, drawn+1
	}
	if drawn == 1 {
		d.WriteString("h0.1") // a dot
	}
	if drawn > 0 {
		fmt.Fprintf(b, "<path d=\"%s\" fill=\"none\" stroke-width=\"2\" stroke-linecap=\"round\" %s/>\n", d.String(), style)
	}
}

// byPercentile has a scale on which each nine takes the same room, as far as the number of operations carries.
func byPercentile(b *bytes.Buffer, s *result, x, y float64) {
	a := axis{x, y, 2, 0}
	for n := s.Operations; n >= 1000 && a.mx < 4; n /= 10 {
		a.mx++
	}
	place := func(q float64) float64 { return -math.Log10(max(1-q, 1e-9)) }
	var d strings.Builder
	for _, p := range s.Spectrum {
		if place(p[0]) <= a.mx+1e-9 {
			a.my = max(a.my, p[1])
		}
	}
	a.my = ceiling(a.my)
	a.frame(b, "per cent of operations")
	for i, label := range []string{"0", "90", "99", "99.9", "99.99"} {
		if float64(i) <= a.mx {
			a.tick(b, float64(i), label)
		}
	}
	a.tick(b, place(0.5), "50")
	for _, p := range s.Spectrum {
		if place(p[0]) > a.mx+1e-9 {
			break
		}
		px, py := a.at(place(p[0]), p[1])
		fmt.Fprintf(&d, "%c%.1f %.1f", map[bool]byte{true: 'M', false: 'L'}[d.Len() == 0], px, py)
	}
	if d.Len() > 0 {
		fmt.Fprintf(b, "<path d=\"%s\" fill=\"none\" stroke-width=\"2\" stroke=\"#123f7a\"/>\n", d.String())
	}
}
