package myaccount

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
)

// PicturesPath is where people's pictures are: the name of one follows.
const PicturesPath = "/pictures/"

const (
	uploadsMost = 16 // files in memory at once, those among them that are still on their way
	uploadsOf   = 2  // of them of one account: a button is pressed twice
)

// uploads are the files in memory, by account. The budget of pictures is asked when a file is there: by then somebody with one
// account could have sent a thousand (D1).
type uploads struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// enter takes a place, until leave; not ok: there is none.
func (u *uploads) enter(account string) (leave func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all >= uploadsMost || u.of[account] >= uploadsOf {
		return nil, false
	}
	if u.of == nil {
		u.of = map[string]int{}
	}
	u.all++
	u.of[account]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.all--
		if u.of[account]--; u.of[account] == 0 {
			delete(u.of, account)
		}
	}, true
}

// postPicture takes a picture, or takes it away. Its body is read when it is known to be from somebody.
func (m *Room) postPicture(w http.ResponseWriter, r *http.Request, v *visitor) error {
	leave, ok := m.uploads.enter(v.id)
	if !ok {
		return &web.Error{Status: http.StatusServiceUnavailable, Key: "busy", Retry: 10 * time.Second}
	}
	defer leave()
	form, file, err := web.ParseUpload(r, "picture", account.MaxPicture)
	large := errors.Is(err, web.ErrTooLarge)
	if err != nil && !large {
		return err
	}
	// Read once more: the body took as long as its sender liked, and a session that has ended meanwhile changes nothing (A17).
	return m.own("profile", func(w http.ResponseWriter, r *http.Request, v *visitor) error {
		if err := m.Pages.CheckForm(r, form, "profile", v.id); err != nil {
			return err
		}
		return m.setPicture(w, r, v, form["remove"] != "", large, file)
	})(w, r)
}

// setPicture does what a form asks for, whose file is perhaps too large to be here.
func (m *Room) setPicture(w http.ResponseWriter, r *http.Request, v *visitor, remove, large bool, file []byte) error {
	var err error
	status := http.StatusUnprocessableEntity
	switch {
	case large:
		status, err = http.StatusRequestEntityTooLarge, &account.FieldError{Field: "profile-picture", Key: "error.picture.large"}
	case remove:
		err = m.Accounts.DropPicture(r.Context(), v.id)
	default:
		err = m.Accounts.SetPicture(r.Context(), v.id, file)
	}
	if errs, ok := web.FieldErrors(err); ok {
		page := m.profile(w, r, v)
		page.Errors = errs
		return m.Pages.Render(w, r, status, "", page)
	}
	if err != nil {
		return err
	}
	web.See(w, r, "/account/profile", url.Values{"saved": {"1"}})
	return nil
}

// getPicture is for everybody who has been told its address.
func (m *Room) getPicture(w http.ResponseWriter, r *http.Request) error {
	jpeg, err := m.Accounts.ReadPicture(r.Context(), mux.Vars(r)["picture"])
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Length", strconv.Itoa(len(jpeg)))
	_, _ = w.Write(jpeg) // whoever asked has left: there is nobody to tell
	return nil
}
