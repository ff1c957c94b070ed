package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

// TestRequestNote: what somebody writes to the operator neither moves the terminal's cursor nor looks like a line of ours.
func TestRequestNote(t *testing.T) {
	t.Run("B9 the note to the operator", func(t *testing.T) {
		var plain, out bytes.Buffer
		for to, note := range map[*bytes.Buffer]string{&plain: "", &out: "it is me\x1b[1A\r\u202e\nanswer\tmatch"} {
			if err := printRequest(to, account.Request{ID: "id"}, note); err != nil {
				t.Fatal(err)
			}
		}
		if strings.ContainsAny(out.String(), "\x1b\r\u202e") || strings.Count(out.String(), "\n") != strings.Count(plain.String(), "\n") {
			t.Errorf("%q", out.String())
		}
	})
}
