//go:build e2e

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// postfix is Debian's mail server with a configuration, a queue and mail boxes of its own, in one folder. It takes mail over
// STARTTLS alone, and for one domain.
type postfix struct {
	t    *testing.T
	dir  string
	addr string
}

const (
	postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = example.test
virtual_mailbox_base = %[1]s/boxes
virtual_mailbox_maps = inline:{ { alice@example.test = alice/ } }
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = %[2]s
smtpd_tls_key_file = %[3]s
smtpd_tls_received_header = yes
`
	// Nothing runs chrooted.
	postfixMaster = `%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
`
)

func newPostfix(t *testing.T, ca *authority) *postfix {
	t.Helper()
	p := &postfix{t: t, dir: must(os.MkdirTemp("", "postfix-"))}
	port := freePort()
	p.addr = "localhost:" + port
	t.Cleanup(func() { check(os.RemoveAll(p.dir)) })
	check(os.Chmod(p.dir, 0o755)) // its programs run under users of their own
	for _, folder := range []string{"etc", "queue", "data", "boxes"} {
		check(os.Mkdir(filepath.Join(p.dir, folder), 0o755))
	}
	check(exec.Command("chown", "postfix", filepath.Join(p.dir, "data")).Run())
	check(os.Chown(filepath.Join(p.dir, "boxes"), 65534, 65534))
	cert, key, _ := ca.leaf(p.dir)
	check(os.WriteFile(filepath.Join(p.dir, "etc", "main.cf"), fmt.Appendf(nil, postfixMain, p.dir, cert, key), 0o644))
	check(os.WriteFile(filepath.Join(p.dir, "etc", "master.cf"), fmt.Appendf(nil, postfixMaster, "127.0.0.1:"+port), 0o644))
	return p
}

func (p *postfix) command(verb string) *exec.Cmd {
	return exec.Command("/usr/sbin/postfix", "-c", filepath.Join(p.dir, "etc"), verb)
}

// start runs it, until the test ends.
func (p *postfix) start() {
	p.t.Helper()
	if out, err := p.command("start").CombinedOutput(); err != nil {
		p.t.Fatalf("postfix: %v\n%s%s", err, out, p.String())
	}
	p.t.Cleanup(func() {
		if out, err := p.command("stop").CombinedOutput(); err != nil {
			p.t.Errorf("stop postfix: %v\n%s", err, out)
		}
	})
	eventually(p.t, "it takes connections", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}, p)
}

// String is its log.
func (p *postfix) String() string {
	log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(log)
}

// delivered waits for the one mail in a box.
func (p *postfix) delivered(box string) (m received, raw string) {
	p.t.Helper()
	var files []string
	eventually(p.t, "a mail in the box of "+box, func() bool {
		files, _ = filepath.Glob(filepath.Join(p.dir, "boxes", box, "new", "*"))
		return len(files) == 1
	}, p)
	b := must(os.ReadFile(files[0]))
	return must(parseMail(b)), string(b)
}

// TestPostfix: 4.22, once through a mail server as operators have it: signed, over STARTTLS, into a mail box, and from there
// to the confirmation.
func TestPostfix(t *testing.T) {
	w := newWorld(t, "", false)
	p := newPostfix(t, w.ca)
	p.start()
	key := filepath.Join(p.dir, "dkim.pem")
	der := must(x509.MarshalPKCS8PrivateKey(must(rsa.GenerateKey(rand.Reader, 2048))))
	check(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	w.env = append(w.env, "PASSPORT_SMTP_URL=smtp://"+p.addr+"?starttls=require", "PASSPORT_DKIM_SELECTOR=pass", "PASSPORT_DKIM_KEY_FILE="+key)
	w.start()
	alice := w.person()
	alice.register(w, "alice@example.test", "Blue-"+rand.Text())
	m, raw := p.delivered("alice")
	if !strings.Contains(raw, "\nDKIM-Signature: ") || !strings.Contains(raw, "using TLSv1.") {
		t.Errorf("it came without a signature, or in clear:\n%s", raw)
	}
	alice.get(m.link(t, "confirm")).submit("confirm-submit", nil)
	if !alice.has("profile-submit") {
		t.Fatalf("not confirmed: %d %s\n%s", alice.Status, alice.URL, alice.Body)
	}
	// An address that nobody has there is refused for good, and stays out of the log.
	bob := w.person()
	bob.register(w, "bob@example.test", "Green-"+rand.Text())
	eventually(p.t, "the mail server refuses", func() bool { return strings.Contains(p.String(), "User unknown") }, p)
	eventually(p.t, "that is noted", func() bool { return strings.Contains(w.logs.String(), "smtp-550") }, p, w.logs)
	if strings.Contains(w.logs.String(), "bob@") {
		t.Error("the log names the address")
	}
}
