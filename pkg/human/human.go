package human

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/keys"
)

var (
	// ErrNone: the form brought no answer.
	ErrNone = errors.New("no human check was answered")
	// ErrWrong: the answer is wrong, late, given before, or to the challenge of another form or browser. One for all of these.
	ErrWrong = errors.New("the human check was not passed")
	// ErrDown: the service that knows cannot be asked, or does not know us. Nothing is said about the person.
	ErrDown = errors.New("the human check cannot be judged")
)

// Place is the form that a challenge stands in. No answer is good in another.
type Place struct {
	Form    string // its page: letters, as the services want them
	Browser []byte // SHA-256 of the flow cookie
}

// Way is one way of telling people from programs.
type Way interface {
	// Offer makes a challenge for a form.
	Offer(at Place) (Offer, error)
	// Check judges what the form brought, and spends it: nil for a person, ErrNone, ErrWrong, ErrDown; others are failures of
	// ours.
	Check(ctx context.Context, at Place, form map[string]string) error
}

// Offer is what a page shows of a challenge. Which parts are filled says which way it is.
type Offer struct {
	Challenge string // in the field FieldChallenge
	Bits      int    // work: leading zero bits of the hash; 0: there is none
	Picture   bool   // digits can be seen and heard instead
	Service   *Service
}

// The fields of a form that are ours.
const (
	FieldChallenge = "human"
	FieldWork      = "human-work"   // what the script found
	FieldDigits    = "human-answer" // what a person typed
)

// Lifetime is how long a challenge may be answered: as long as a draft of the registration holds.
const Lifetime = 30 * time.Minute

// Store remembers which challenges were answered.
type Store interface {
	// SpendHuman spends a key until a time: ErrWrong when it was spent before. One statement, on all replicas together.
	SpendHuman(ctx context.Context, key []byte, until time.Time) error
}

// challenge is what is sealed in one: no page and no address shows any of it.
type challenge struct {
	id     [16]byte // what is spent; it also seeds the drawing
	made   time.Time
	digits string
	form   string
}

const digitsLen = 6

// box seals challenges, bound to the browser.
type box struct {
	sealer *keys.Sealer
	now    func() time.Time
}

// strict: one sealed value has one text.
var text = base64.RawURLEncoding.Strict()

// maxText is longer than any challenge of ours.
const maxText = 400

func (b box) make(at Place) (challenge, string, error) {
	c := challenge{made: b.now(), form: at.Form}
	_, _ = rand.Read(c.id[:]) // never fails (crypto/rand)
	var n [8]byte
	_, _ = rand.Read(n[:])
	c.digits = fmt.Sprintf("%0*d", digitsLen, binary.BigEndian.Uint64(n[:])%1_000_000)
	plain := append([]byte(nil), c.id[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(c.made.UnixMicro()))
	plain = append(plain, c.digits...)
	plain = append(plain, c.form...)
	sealed, err := b.sealer.Seal("form", "human", hex.EncodeToString(at.Browser), plain)
	if err != nil {
		return challenge{}, "", fmt.Errorf("seal a human check: %w", err)
	}
	return c, text.EncodeToString(sealed), nil
}

// open is ErrWrong unless the challenge was made for this browser not long ago; which form is the caller's to compare.
func (b box) open(browser []byte, challengeText string) (challenge, error) {
	var c challenge
	if len(challengeText) > maxText || len(browser) == 0 {
		return c, ErrWrong
	}
	sealed, err := text.DecodeString(challengeText)
	if err != nil {
		return c, ErrWrong
	}
	plain, err := b.sealer.Open("form", "human", hex.EncodeToString(browser), sealed)
	if err != nil || len(plain) < len(c.id)+8+digitsLen {
		return c, ErrWrong
	}
	copy(c.id[:], plain)
	rest := plain[len(c.id):]
	c.made = time.UnixMicro(int64(binary.BigEndian.Uint64(rest)))
	c.digits, c.form = string(rest[8:8+digitsLen]), string(rest[8+digitsLen:])
	if age := b.now().Sub(c.made); age > Lifetime || age < -time.Minute {
		return c, ErrWrong
	}
	return c, nil
}

// answered opens the challenge that a form brought back.
func (b box) answered(at Place, form map[string]string) (challenge, error) {
	if form[FieldChallenge] == "" {
		return challenge{}, ErrNone
	}
	c, err := b.open(at.Browser, form[FieldChallenge])
	if err == nil && c.form != at.Form {
		err = ErrWrong
	}
	return c, err
}

// end is when nobody can answer the challenge any more: it is remembered for so long.
func (c challenge) end() time.Time { return c.made.Add(Lifetime + time.Minute) }
