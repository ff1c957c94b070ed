package human

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/keys"
)

// DefaultBits is what a phone does in about a second: 2^18 hashes in its browser.
const DefaultBits = 18

// PuzzleConfig is what a Puzzle needs.
type PuzzleConfig struct {
	Store  Store
	Sealer *keys.Sealer
	Now    func() time.Time
	Bits   int // of work; 0: DefaultBits
}

// Puzzle is our own way, which asks nobody: the browser works by a script, or a person reads digits, or hears them.
type Puzzle struct {
	box
	store Store
	bits  int
}

// NewPuzzle refuses a configuration with something missing.
func NewPuzzle(c PuzzleConfig) (*Puzzle, error) {
	if c.Store == nil || c.Sealer == nil || c.Now == nil {
		return nil, errors.New("human: Store, Sealer and Now are needed")
	}
	if c.Bits == 0 {
		c.Bits = DefaultBits
	}
	if c.Bits < 1 || c.Bits > 32 { // the script looks at 32 bits
		return nil, errors.New("human: 1 to 32 bits of work")
	}
	return &Puzzle{box: box{c.Sealer, c.Now}, store: c.Store, bits: c.Bits}, nil
}

// Offer implements Way.
func (p *Puzzle) Offer(at Place) (Offer, error) {
	_, challengeText, err := p.make(at)
	return Offer{Challenge: challengeText, Bits: p.bits, Picture: true}, err
}

// Check implements Way. Work is judged before it is spent: a wrong one costs us a hash. Digits are spent before they are
// judged: whoever guesses has one try at each challenge.
func (p *Puzzle) Check(ctx context.Context, at Place, form map[string]string) error {
	c, err := p.answered(at, form)
	if err != nil {
		return err
	}
	work, digits := form[FieldWork], typed(form[FieldDigits])
	switch {
	case work == "" && digits == "":
		return ErrNone
	case work != "" && worked(form[FieldChallenge], work, p.bits):
		return p.store.SpendHuman(ctx, c.id[:], c.end())
	case digits == "":
		return ErrWrong
	}
	if err := p.store.SpendHuman(ctx, c.id[:], c.end()); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(digits), []byte(c.digits)) != 1 {
		return ErrWrong
	}
	return nil
}

// typed leaves out what people put between digits.
func typed(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return strings.NewReplacer(" ", "", "-", "", ".", "", ",", "").Replace(s)
}

// workTail is how much of a challenge's text is hashed: its end, which no other has (the tag of the seal). With the number
// it is one block of SHA-256.
const (
	workTail   = 32
	workDigits = 12
)

// worked tells whether the number makes the hash begin with so many zero bits.
func worked(challengeText, number string, zeros int) bool {
	if len(number) > workDigits || len(challengeText) < workTail || strings.Trim(number, "0123456789") != "" {
		return false
	}
	sum := sha256.Sum256([]byte(challengeText[len(challengeText)-workTail:] + ":" + number))
	return bits.LeadingZeros32(binary.BigEndian.Uint32(sum[:])) >= zeros
}

// Picture draws the digits of a challenge: a PNG, the same one each time. ErrWrong for one that cannot be answered here.
func (p *Puzzle) Picture(browser []byte, challengeText string) ([]byte, error) {
	c, err := p.open(browser, challengeText)
	if err != nil {
		return nil, err
	}
	return draw(c.digits, c.seed("picture"))
}

// Sound speaks them in a language, English where there is no other: a WAV, the same one each time. ErrWrong as Picture.
func (p *Puzzle) Sound(browser []byte, challengeText, language string) ([]byte, error) {
	c, err := p.open(browser, challengeText)
	if err != nil {
		return nil, err
	}
	return speak(c.digits, language, c.seed("sound"))
}

// seed makes the picture of a challenge one: whoever asks for it twice must not see twice as much. It is as secret as the
// digits, so that nobody can take the noise away again.
func (c challenge) seed(of string) [32]byte {
	return sha256.Sum256(append(append([]byte(of+" "), c.id[:]...), c.digits...))
}
