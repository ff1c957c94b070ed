package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Limits of what people send. The body as a whole is bounded by the shell.
const (
	maxFields = 64
	maxField  = 16 << 10
	maxID     = 512
)

// Form is the body of a form: each field exactly once. The URL's query is never part of it, so that no link
// can fill in a form (B12).
type Form map[string]string

// ParseForm reads the body. What is not a plain form is refused: a type other than
// application/x-www-form-urlencoded (415), a field sent twice, invalid UTF-8 or a control character (400).
func ParseForm(r *http.Request) (Form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Key: "type", Cause: err}
	}
	// ParseForm reads the URL too; PostForm holds the body alone.
	if err := r.ParseForm(); err != nil {
		return nil, refuse(err)
	}
	form := Form{}
	if len(r.PostForm) > maxFields {
		return nil, refuse(nil)
	}
	for name, values := range r.PostForm {
		if len(values) != 1 || !clean(name) || !clean(values[0]) || len(values[0]) > maxField {
			return nil, refuse(nil)
		}
		form[name] = values[0]
	}
	return form, nil
}

// ErrTooLarge: the file of an upload is larger than it may be.
var ErrTooLarge = errors.New("the file is too large")

// ParseUpload reads the body of a form with one file (multipart/form-data, RFC 7578), whose field is file and whose size is
// most; the other fields are held to what ParseForm holds them to. Nothing of it touches the disk. Errors: *Error, and
// ErrTooLarge with the fields that came before the file.
func ParseUpload(r *http.Request, file string, most int) (form Form, content []byte, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, nil, &Error{Status: http.StatusUnsupportedMediaType, Key: "type", Cause: err}
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, nil, refuse(err)
	}
	form, seen := Form{}, map[string]bool{}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return form, content, nil
		}
		if err != nil {
			return nil, nil, unread(err)
		}
		name, limit := part.FormName(), maxField
		if name == file {
			limit = most
		}
		held, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
		switch {
		case err != nil:
			return nil, nil, unread(err)
		case seen[name] || len(seen) == maxFields || !clean(name):
			return nil, nil, refuse(nil)
		case name == file && len(held) > limit:
			return form, nil, ErrTooLarge
		case name == file:
			content = held
		case len(held) > limit || part.FileName() != "" || !clean(string(held)):
			return nil, nil, refuse(nil)
		default:
			form[name] = string(held)
		}
		seen[name] = true
	}
}

// unread is the error of a body that could not be read to its end.
func unread(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return refuse(err)
}

// Query gives the one value of a parameter of the URL: an id in base64url. Absent is "", nil; twice, too long or
// other characters is an error.
func Query(r *http.Request, name string) (string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", refuse(err)
	}
	switch v := values[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		if !opaque(v[0]) {
			return "", refuse(nil)
		}
		return v[0], nil
	}
	return "", refuse(nil)
}

// Queries gives several, each as Query does.
func Queries(r *http.Request, names ...string) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range names {
		v, err := Query(r, name)
		if err != nil {
			return nil, err
		}
		all[name] = v
	}
	return all, nil
}

// ID gives a hidden field that must be an opaque id, or empty.
func (f Form) ID(name string) (string, error) {
	if v := f[name]; v == "" || opaque(v) {
		return v, nil
	}
	return "", refuse(nil)
}

// clean refuses what no field of ours may hold: PostgreSQL stores no NUL, and a header or a log line must not be
// broken by a line end (A24, R15).
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f
	})
}

func opaque(s string) bool { return len(s) <= maxID && plain(s) }

// plain tells whether a text has the letters of base64url alone.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

func refuse(cause error) *Error {
	return &Error{Status: http.StatusBadRequest, Key: "request_malformed", Cause: cause}
}
