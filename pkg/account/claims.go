package account

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxClaims bounds the claims of one account: they travel in tokens.
const maxClaims = 8 * 1024

// The standard claims (OpenID Connect Core §5.1) that an account keeps beside its name and addresses.
var (
	textClaims = []string{
		"given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
		"website", "gender", "birthdate", "zoneinfo", "locale", "phone_number",
	}
	addressMembers = []string{"formatted", "street_address", "locality", "region", "postal_code", "country"}
)

// checkClaims says whether these claims can be kept. "name" is taken out: it has a place of its own.
// What the server answers for itself (sub, email, email_verified, updated_at, …) is refused.
func checkClaims(raw json.RawMessage) (claims json.RawMessage, name string, err error) {
	bad := &FieldError{Field: "claims", Key: "error.claims.invalid"}
	if len(bytes.TrimSpace(raw)) == 0 {
		return json.RawMessage("{}"), "", nil
	}
	if len(raw) > maxClaims || !utf8.Valid(raw) {
		return nil, "", bad
	}
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return nil, "", bad
	}
	for k, v := range m {
		s, text := v.(string)
		switch {
		case k == "name" && text:
			name = s
			delete(m, k)
		case slices.Contains(textClaims, k) && text && storable(s):
		case k == "phone_number_verified":
			if _, ok := v.(bool); !ok {
				return nil, "", bad
			}
		case k == "address":
			if !postalAddress(v) {
				return nil, "", bad
			}
		default:
			return nil, "", bad
		}
	}
	if claims, err = json.Marshal(m); err != nil {
		return nil, "", bad
	}
	return claims, name, nil
}

func postalAddress(v any) bool {
	members, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for k, v := range members {
		s, text := v.(string)
		if !text || !slices.Contains(addressMembers, k) || !storable(s) {
			return false
		}
	}
	return true
}

// storable: PostgreSQL's text holds no NUL.
func storable(s string) bool { return !strings.ContainsRune(s, 0) }
