package account

import (
	"context"
	"crypto/sha1" //nolint:gosec // G505: the service is asked by it; nothing is kept under it
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/outbound"
)

const (
	// breachTime is how long a new password waits for an answer about it.
	breachTime = time.Second
	// breachPrefix is what the service learns of a password: the first 20 bits of its SHA-1, which it shares with about
	// a thousand others of the list (k-anonymity).
	breachPrefix = 5
)

// Breaches asks a service which passwords others have lost (the range API of Have I Been Pwned, or one that answers like it).
type Breaches struct {
	// URL is what the five hexadecimal digits are put behind.
	URL      string
	Outbound *outbound.Client
	Logger   *slog.Logger
	// Count is told how each question ended: "clean", "breached" or "failed". It may be nil.
	Count func(outcome string)
}

// known tells whether the password is on the list. It fails open: without an answer within a second the password is
// taken, for nobody is to be kept out by a service of others; the failure is logged and counted.
func (b *Breaches) known(ctx context.Context, password string) bool {
	if b == nil {
		return false
	}
	found, err := b.ask(ctx, password)
	outcome := "clean"
	switch {
	case err != nil:
		outcome = "failed"
		// The reason alone: the address has a part of the hash.
		reason := outbound.Reason(err)
		if errors.As(err, new(errBreach)) {
			reason = err.Error()
		}
		b.Logger.WarnContext(ctx, "passwords are not checked against breaches", "reason", reason)
	case found:
		outcome = "breached"
	}
	if b.Count != nil {
		b.Count(outcome)
	}
	return found
}

// errBreach is an answer that is none, in words for the log.
type errBreach string

func (e errBreach) Error() string { return string(e) }

func (b *Breaches) ask(ctx context.Context, password string) (bool, error) {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // G401: see above
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	ctx, done := context.WithTimeout(ctx, breachTime)
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+hash[:breachPrefix], nil)
	if err != nil {
		return false, errors.New("the address of the service is not one")
	}
	// Each answer is made as long as others by lines of count 0: its length must not tell which prefix was asked for.
	req.Header.Set("Add-Padding", "true")
	res, err := b.Outbound.Do(req, outbound.MaxBody)
	if err != nil {
		return false, err
	}
	if res.Status != http.StatusOK {
		return false, errBreach("status " + strconv.Itoa(res.Status))
	}
	return listedBreach(res.Body, hash[breachPrefix:])
}

// listedBreach looks for a line SUFFIX:COUNT with a count that is not 0. An answer without any such line is none: a page of
// something that stands between us and the service must not look like a clean password.
func listedBreach(answer []byte, suffix string) (bool, error) {
	listed := 0
	for line := range strings.Lines(string(answer)) {
		got, count, _ := strings.Cut(strings.TrimSpace(line), ":")
		if len(got) != len(suffix) || count == "" || strings.Trim(count, "0123456789") != "" {
			continue
		}
		listed++
		if strings.EqualFold(got, suffix) && strings.Trim(count, "0") != "" {
			return true, nil
		}
	}
	if listed == 0 {
		return false, errBreach("no list")
	}
	return false, nil
}
