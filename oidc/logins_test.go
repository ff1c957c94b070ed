package oidc_test

import (
	"testing"
	"time"
)

func TestLoginsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		s := w.site(t, nil)
		s.code(t, here)
		t.Run("a login that is too old is nobody", func(t *testing.T) {
			w.exec(`UPDATE browser SET expires_at = %d`, w.now().Add(time.Hour).UnixMicro())
			w.exec(`UPDATE login SET auth_time = 1000000`)
			here.authorize(t, to(s.Client, "prompt", "none")).refused("login_required")
		})
		t.Run("so is one of a browser whose session ended", func(t *testing.T) {
			here.signIn(t, account, "")
			s.code(t, here)
			w.exec(`UPDATE browser SET expires_at = %d`, w.now().UnixMicro())
			here.authorize(t, to(s.Client, "prompt", "none")).refused("login_required")
		})
	})
}
