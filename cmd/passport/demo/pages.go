package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// page is everything that pages.html shows.
type page struct {
	Name, Slug, Issuer, Tagline, Pitch string
	SignedIn, SignedOut                bool
	Fault                              string
	Person, Sub                        string
	Rows                               []row
}

// row is a claim as the site received it.
type row struct{ Claim, Value, From string }

func (s *site) page() page {
	p := page{
		Name: s.Name, Slug: "contoso", Issuer: s.Issuer,
		Tagline: "Good coffee, roasted on Tuesdays.",
		Pitch:   "Keep your orders and your favourite roasts in one place.",
	}
	if s.slug == "fabrikam" {
		p.Slug, p.Tagline, p.Pitch = "fabrikam", "Furniture that outlives its fashion.", "Keep your rooms, measures and wishes in one place."
	}
	return p
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	p := s.page()
	p.SignedOut = r.FormValue("state") == "signed-out"
	if v, ok := s.visitor(r); ok {
		p.SignedIn, p.Sub = true, text(v.claims["sub"])
		p.Person = text(v.userinfo["name"])
		if p.Person == "" {
			p.Person = "somebody without a name"
		}
		p.Rows = append(rows(v.userinfo, "userinfo"), rows(v.claims, "ID token")...)
	}
	render(w, http.StatusOK, p)
}

func (s *site) fail(w http.ResponseWriter, status int, why string) {
	p := s.page()
	p.Fault = why
	render(w, status, p)
}

func render(w http.ResponseWriter, status int, p page) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "pages.html", p); err != nil {
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func rows(claims map[string]any, from string) (list []row) {
	for name, v := range claims {
		list = append(list, row{Claim: name, Value: text(v), From: from})
	}
	slices.SortFunc(list, func(a, b row) int { return strings.Compare(a.Claim, b.Claim) })
	for i, r := range list {
		if n, ok := claims[r.Claim].(float64); ok && slices.Contains([]string{"exp", "iat", "auth_time", "updated_at"}, r.Claim) {
			list[i].Value = time.Unix(int64(n), 0).UTC().Format("2006-01-02 15:04:05 UTC")
		}
	}
	return list
}

// text shows a claim: strings as they are, all else as JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
