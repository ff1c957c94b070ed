package account

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// Want says whether the registration form asks for a thing. Empty is Off.
type Want string

// What a form may want.
const (
	Off      Want = "off"      // the form does not have it; what is sent all the same is dropped
	Optional Want = "optional" // it may be left empty
	Required Want = "required"
)

// On tells whether the form has the field.
func (w Want) On() bool { return w == Optional || w == Required }

// Fields are what the registration form asks for beside address and password; the zero value asks for the name. A field
// that is required is so at the registration: an account that the operator made, or that is older than the setting, may
// not have it. The recovery address gets its own mail once the account is confirmed.
type Fields struct {
	Name             Want
	Phone            Want
	BirthDate        Want
	RecoveryAddress  Want
	RecoveryQuestion Want
}

// Fields are what the registration form asks for.
func (d *Directory) Fields() Fields { return d.fields }

// filled gives what a field of the registration form holds in its normal form: empty where it is not asked for, or may be
// left empty and is. The error is a *FieldError: with the key empty, or check's.
func (w Want) filled(field, typed, empty string, check func(field, typed string) (string, error)) (string, error) {
	if !w.On() {
		return "", nil
	}
	v, err := check(field, typed)
	if err == nil && v == "" && w == Required {
		err = &FieldError{Field: field, Key: empty}
	}
	return v, err
}

// maxShort bounds what is looked at of a phone number or a date.
const maxShort = 64

// checkPhone gives a phone number in E.164, as OpenID Connect Core §5.1 recommends: +442079460123. It has a country code,
// for we do not know where the person is; a number of a plan that we do not know yet may be good, so that only its length
// is judged. Nobody has proven that it is the person's. Empty stays empty.
func checkPhone(field, typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", nil
	}
	bad := &FieldError{Field: field, Key: "error.phone.invalid"}
	if len(typed) > maxShort || !utf8.ValidString(typed) {
		return "", bad
	}
	number, err := phonenumbers.Parse(typed, "ZZ") // of no country: the + is needed
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return "", bad
	}
	return phonenumbers.Format(number, phonenumbers.E164), nil
}

// eldest is the first year that somebody who registers can be born in.
const eldest = 1900

// checkBirthDate takes YYYY-MM-DD (OpenID Connect Core §5.1), as a browser's date field sends it: a day that there is, and
// that has begun somewhere on earth. Empty stays empty.
func (d *Directory) checkBirthDate(field, typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", nil
	}
	day, err := time.Parse(time.DateOnly, typed)
	if err != nil || day.Year() < eldest || day.After(d.now().Add(14*time.Hour)) { // UTC+14 is the first to see a day
		return "", &FieldError{Field: field, Key: "error.birthdate.invalid"}
	}
	return typed, nil
}
