package grant

import (
	"encoding/json"
	"slices"
)

// ClaimsOf lists the claims that a scope asks for (OpenID Connect Core §5.4); nil for any other scope.
func ClaimsOf(scope string) []string {
	switch scope {
	case "profile":
		return []string{"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
			"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"}
	case "email":
		return []string{"email", "email_verified"}
	case "address":
		return []string{"address"}
	case "phone":
		return []string{"phone_number", "phone_number_verified"}
	}
	return nil
}

// Asked are the claims that the claims parameter asked for in a member of it: userinfo or id_token (OpenID Connect Core
// §5.5).
func (g *Grant) Asked(member string) (names []string) {
	var asked map[string]json.RawMessage
	var of map[string]json.RawMessage
	if g.Claims == "" || json.Unmarshal([]byte(g.Claims), &asked) != nil || json.Unmarshal(asked[member], &of) != nil {
		return nil // malformed ones were refused when they were asked for
	}
	for name := range of {
		names = append(names, name)
	}
	return names
}

// Given are the person's claims that scopes ask for (§5.4), and the ones named.
func (p *Person) Given(scopes, names []string) map[string]any {
	out, all := map[string]any{}, p.StandardClaims()
	for _, scope := range scopes {
		names = slices.Concat(names, ClaimsOf(scope))
	}
	for _, name := range names {
		if v, ok := all[name]; ok {
			out[name] = v
		}
	}
	return out
}

// StandardClaims are all claims about the person that may be asked for (OpenID Connect Core §5.1), with their JSON
// types; sub, which every answer has, is not among them. Absent ones are left out: never null, never "" (§5.3.2).
func (p *Person) StandardClaims() map[string]any {
	stored := map[string]json.RawMessage{}
	if json.Unmarshal(p.Claims, &stored) != nil {
		stored = nil // storage keeps a JSON object; of anything else there is nothing to tell
	}
	out := map[string]any{}
	for _, scope := range []string{"profile", "address", "phone"} {
		for _, name := range ClaimsOf(scope) {
			if v, ok := stored[name]; ok && !empty(v) {
				out[name] = v
			}
		}
	}
	if p.Name != "" {
		out["name"] = p.Name
	}
	if p.Email != "" {
		out["email"] = p.Email
		out["email_verified"] = p.Proven
	}
	delete(out, "updated_at")
	if !p.UpdatedAt.IsZero() {
		out["updated_at"] = p.UpdatedAt.Unix()
	}
	return out
}

func empty(v json.RawMessage) bool {
	switch string(v) {
	case "null", `""`, "{}", "[]":
		return true
	}
	return false
}
