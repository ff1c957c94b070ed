package templates

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the two files below
	"encoding/base64"
)

//go:embed check_session.html
var sessionFrame []byte

//go:embed check_session.js
var sessionScript []byte

// SessionFrame is the page of the check_session_iframe (OpenID Connect Session Management 1.0 §3.3), which nobody
// sees, and the CSP source of its one script.
func SessionFrame() (page []byte, script string) {
	sum := sha256.Sum256(sessionScript)
	return bytes.Replace(sessionFrame, []byte("{{script}}"), sessionScript, 1),
		"'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
