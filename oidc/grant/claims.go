package grant

import "encoding/json"

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
