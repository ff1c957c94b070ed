package client

import "strings"

// Plain drops every character that an error_description must not have: only %x20-21 / %x23-5B / %x5D-7E stay
// (RFC 6749 §5.2).
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
