package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/limit"
)

// The device cookie (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"): whoever has signed in from a browser
// has a budget of wrong passwords of its own there. A stranger can use up the one of all other browsers, and the owner does
// not notice.
//
// It is a list of tokens, newest first, one for each account that signed in there: a random id, the time, and an
// HMAC of both with the credential's id. It names no account, and dies when the password changes.
const (
	deviceLifetime = 180 * 24 * time.Hour
	devicesMost    = 5
	deviceID       = 12                       // random bytes
	deviceSum      = 16                       // bytes of the HMAC
	deviceLen      = deviceID + 4 + deviceSum // with the time, in seconds
)

var deviceText = base64.RawURLEncoding.Strict()

// KnowDevice gives the device cookie of a browser in which the credential (Authenticated.Credential) has just been right:
// the one that the browser had, with another token.
func (d *Directory) KnowDevice(had, credential string) string {
	token := make([]byte, deviceLen)
	others := d.devices(had)
	i := slices.IndexFunc(others, func(t []byte) bool { return d.isDevice(t, credential) })
	if i >= 0 { // one browser, one budget, however often it signs in
		copy(token, others[i][:deviceID])
		others = slices.Delete(others, i, i+1)
	} else {
		rand.Read(token[:deviceID])
	}
	binary.BigEndian.PutUint32(token[deviceID:], uint32(d.now().Unix()))
	copy(token[deviceID+4:], d.deviceSum(token, credential))
	kept := [][]byte{token}
	kept = append(kept, others[:min(len(others), devicesMost-1)]...)
	texts := make([]string, len(kept))
	for i, t := range kept {
		texts[i] = deviceText.EncodeToString(t)
	}
	return strings.Join(texts, ".")
}

// first tells whether the account is signed in to for the first time: with the password that it was confirmed with, which
// nobody has used yet.
func (r Record) first() bool {
	return r.PasswordUsedAt.IsZero() && !r.PasswordAt.After(r.ProvenAt)
}

// Browser is where a sign-in came from, in words that are fit for a mail.
type Browser struct {
	Name, System string // empty: unknown
	Network      string
}

// TellNewBrowser mails the owner that somebody has signed in from a browser that the account does not know, with a link by
// which it is locked. It does nothing where who came from a known one, or for the first time. To be called in the
// transaction that writes the sign-in.
func (d *Directory) TellNewBrowser(ctx context.Context, who Authenticated, b Browser) error {
	if who.tell == nil {
		return nil
	}
	err := d.limits.Take(ctx, limit.NewBrowser, who.AccountID)
	if errors.Is(err, ErrLimited) { // the log of events has all of them
		return nil
	}
	rec := *who.tell
	if err == nil { // to the primary address, whichever was typed
		rec, err = d.store.ByID(ctx, rec.ID)
	}
	if err == nil {
		err = d.mailNotice(ctx, rec, "newbrowser", map[string]string{"browser": b.Name, "system": b.System, "network": b.Network,
			"time": d.now().UTC().Format("2006-01-02 15:04") + " UTC"})
	}
	if err != nil {
		return fmt.Errorf("tell of a new browser: %w", err)
	}
	return nil
}

// device is the id of the browser as the account knows it; empty: it does not.
func (d *Directory) device(cookie, credential string) string {
	for _, token := range d.devices(cookie) {
		if d.isDevice(token, credential) {
			return deviceText.EncodeToString(token[:deviceID])
		}
	}
	return ""
}

// devices reads a cookie: what is malformed or too old is left out, and all of it when it is longer than ours are.
func (d *Directory) devices(cookie string) [][]byte {
	texts := strings.SplitN(cookie, ".", devicesMost+1)
	if len(texts) > devicesMost {
		return nil
	}
	now := d.now()
	var out [][]byte
	for _, text := range texts {
		if len(text) != deviceText.EncodedLen(deviceLen) {
			continue
		}
		token, err := deviceText.DecodeString(text)
		if err != nil {
			continue
		}
		at := time.Unix(int64(binary.BigEndian.Uint32(token[deviceID:])), 0)
		if at.After(now.Add(time.Minute)) || now.Sub(at) > deviceLifetime {
			continue
		}
		out = append(out, token)
	}
	return out
}

func (d *Directory) isDevice(token []byte, credential string) bool {
	return hmac.Equal(token[deviceID+4:], d.deviceSum(token, credential))
}

// deviceSum binds a token to the credential, and so to the account: no two accounts share one.
func (d *Directory) deviceSum(token []byte, credential string) []byte {
	mac := hmac.New(sha256.New, d.deviceKey)
	mac.Write(token[:deviceID+4])
	mac.Write([]byte(credential))
	return mac.Sum(nil)[:deviceSum]
}
