package signin

import (
	"net/http"
	"slices"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (s *Room) getConsent(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	if f.view == nil || f.view.Login == nil {
		web.See(w, r, "/login", f.query())
		return nil
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), &templates.Consent{
		Base: s.base(w, r, "consent", f), Site: f.site(), Person: person(*f.view.Login), Items: items(f.view), Device: f.view.UserCode, Once: !f.view.Remembered,
	})
}

func (s *Room) postConsent(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "consent")
	if err != nil {
		return err
	}
	switch {
	case f.view == nil:
		return web.ErrForm
	case form["login"] == "": // every form of ours says whom it was shown to
	case form["answer"] == "allow":
		return s.OIDC.Approve(w, r, f.id, form["login"])
	case form["answer"] == "deny":
		return s.OIDC.Deny(w, r, f.id)
	}
	return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
}

// groups are the scopes that one line speaks for, in the order of the page, with the claims that they ask for.
var groups = []string{"profile", "email", "phone", "address"}

// items says in words what allowing gives away.
func items(v *oidc.View) []templates.Item {
	list := []templates.Item{{Key: "claims.openid"}}
	for _, g := range groups {
		named := func(claim string) bool { return slices.Contains(grant.ClaimsOf(g), claim) }
		if slices.Contains(v.Scopes, g) || slices.ContainsFunc(v.Claims, named) {
			list = append(list, templates.Item{Key: "claims." + g, Value: own(v.Login, g)})
		}
	}
	for _, scope := range v.Scopes {
		switch scope {
		case "openid", "profile", "email", "phone", "address":
		case "offline_access":
			list = append(list, templates.Item{Key: "claims.offline"})
		default:
			list = append(list, templates.Item{Key: "claims.scope", Value: scope})
		}
	}
	return list
}

// own is what the person's own data for a group is, where one line can show it.
func own(l *grant.Login, group string) string {
	switch group {
	case "profile":
		return l.Person.Name
	case "email":
		return l.Person.Email
	}
	return ""
}
