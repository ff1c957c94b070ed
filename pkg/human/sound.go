package human

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

// The clips are made by clips/make.sh: 8000 samples a second of one byte, around 128.
//
//go:embed clips/*.wav
var clips embed.FS

const (
	rate    = 8000
	wavHead = 44 // bytes before the samples, in our clips and in what is made of them
	middle  = 128
)

var spoken = map[string]bool{"en": true, "es": true}

// speak joins the clips of the digits: each at its own speed and loudness, with pauses of different lengths, over noise and
// scraps of other digits spoken backwards.
func speak(digits, language string, seed [32]byte) ([]byte, error) {
	if !spoken[language] {
		language = "en"
	}
	r := rand.New(rand.NewChaCha8(seed))
	in := func(from, to float64) float64 { return from + (to-from)*r.Float64() }
	sum := make([]float64, int(in(.4, .7)*rate))
	for _, d := range digits {
		clip, err := samples(language, d)
		if err != nil {
			return nil, err
		}
		speed, loud := in(.88, 1.12), in(.75, 1)
		for i := 0.0; i < float64(len(clip)-1); i += speed {
			at := int(i)
			part := i - float64(at)
			sum = append(sum, loud*(clip[at]*(1-part)+clip[at+1]*part))
		}
		sum = append(sum, make([]float64, int(in(.35, .75)*rate))...)
	}
	for at := 0; at < len(sum); at += int(in(.15, .5) * rate) {
		clip, err := samples(language, rune('0'+r.IntN(10)))
		if err != nil {
			return nil, err
		}
		loud, from := in(.08, .16), r.IntN(len(clip)/2)
		for i := from; i < len(clip) && at < len(sum); i++ {
			sum[at] += loud * clip[len(clip)-1-i]
			at++
		}
	}
	out := head(len(sum))
	for _, v := range sum {
		out = append(out, byte(min(255, max(0, middle+v+r.NormFloat64()*2))))
	}
	return out, nil
}

// samples are those of a clip, around 0.
func samples(language string, digit rune) ([]float64, error) {
	raw, err := clips.ReadFile(fmt.Sprintf("clips/%s-%c.wav", language, digit))
	if err != nil {
		return nil, fmt.Errorf("read a clip: %w", err)
	}
	if len(raw) <= wavHead+2 || string(raw[36:40]) != "data" {
		return nil, errors.New("a clip is no plain WAV")
	}
	n := min(int(binary.LittleEndian.Uint32(raw[40:])), len(raw)-wavHead)
	out := make([]float64, n)
	for i, b := range raw[wavHead : wavHead+n] {
		out[i] = float64(b) - middle
	}
	return out, nil
}

// head is that of a WAV file with n samples: PCM, one channel, 8 bits.
func head(n int) []byte {
	h := append(make([]byte, 0, wavHead+n), "RIFF"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(wavHead-8+n))
	h = append(h, "WAVEfmt "...)
	for _, field := range []struct {
		v    uint32
		wide bool
	}{{16, true}, {1, false}, {1, false}, {rate, true}, {rate, true}, {1, false}, {8, false}} {
		if field.wide {
			h = binary.LittleEndian.AppendUint32(h, field.v)
		} else {
			h = binary.LittleEndian.AppendUint16(h, uint16(field.v))
		}
	}
	h = append(h, "data"...)
	return binary.LittleEndian.AppendUint32(h, uint32(n))
}
