package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const secret = "0123456789abcdefghijklmnopqrstuvwxyz"

// good is a configuration without a fault, as an environment.
func good(more ...string) []string {
	return append([]string{
		"PASSPORT_ISSUER=https://passport.test", "PASSPORT_SECRET=" + secret,
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test:587", "HOME=/nowhere",
	}, more...)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLaterWins(t *testing.T) {
	file := write(t, "c.yaml", "addr: 127.0.0.1:1\nbrand: File\nlog_level: debug\nlimit_exempt: [10.0.0.0/8, 127.0.0.1]\nkeyset_max_age: 90s\n")
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.String("addr", "unused", "")
	set.String("data", "unused", "")
	if err := set.Parse([]string{"--addr", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: file, Environ: good("PASSPORT_ADDR=127.0.0.1:2", "PASSPORT_BRAND=Env", "PASSPORT_OUTBOUND_ALLOW=a.test, 10.0.0.0/8", "PASSPORT_MAIL_FROM="), Flags: set})
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:3" || c.Brand != "Env" || c.LogLevel.String() != "DEBUG" || c.Data != "passport-data" {
		t.Errorf("flag, environment, file, default: %q %q %q %q", c.Addr, c.Brand, c.LogLevel, c.Data)
	}
	if len(c.LimitExempt) != 2 || c.LimitExempt[1].String() != "127.0.0.1/32" || len(c.OutboundAllow) != 2 || c.OutboundAllow[0] != "a.test" {
		t.Errorf("lists: %v %v", c.LimitExempt, c.OutboundAllow)
	}
	if c.KeySetMaxAge != 90*time.Second || c.RefreshGrace != 10*time.Second || c.ShutdownDelay != 5*time.Second {
		t.Errorf("times: %v %v %v", c.KeySetMaxAge, c.RefreshGrace, c.ShutdownDelay)
	}
	if c.Database != "sqlite:"+filepath.Join("passport-data", "passport.db") || c.MailFrom != "no-reply@passport.test" || c.SecurityContact != "mailto:security@passport.test" {
		t.Errorf("derived: %q %q %q", c.Database, c.MailFrom, c.SecurityContact)
	}
}

func TestConfigFileFromEnvironment(t *testing.T) {
	file := write(t, "c.yaml", "brand: File\n")
	c, err := Load(Sources{Environ: good("PASSPORT_CONFIG=" + file)})
	if err != nil || c.Brand != "File" {
		t.Fatalf("%v %v", c, err)
	}
}

func TestDevNeedsNothing(t *testing.T) {
	c, err := Load(Sources{Dev: true, Environ: []string{"PASSPORT_ADDR=127.0.0.1:9999"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "http://localhost:9999" || c.ShutdownDelay != 0 || c.Secret != "" {
		t.Errorf("%+v", c)
	}
}

func TestSecretFiles(t *testing.T) {
	held := write(t, "secret", secret+"-of-the-file\n")
	yaml := write(t, "c.yaml", "secret: "+secret+"-of-the-yaml\n")
	for _, k := range Keys() {
		if !k.Secret {
			continue
		}
		value := map[string]string{
			"database": "postgres://u:p@db.test/x", "smtp_url": "smtps://u:p@mail.test",
		}[k.Name]
		if value == "" {
			value = secret + "-" + k.Name
		}
		env := []string{k.Env() + "_FILE=" + write(t, "held", value+"\n")}
		for _, e := range good() {
			if !strings.HasPrefix(e, k.Env()+"=") {
				env = append(env, e)
			}
		}
		c, err := Load(Sources{Environ: env})
		if err != nil {
			t.Errorf("%s_FILE: %v", k.Env(), err)
			continue
		}
		for _, v := range c.Values() {
			if v.Key == k.Name && v.Value != hidden {
				t.Errorf("%s: printed as %v", k.Name, v.Value)
			}
		}
	}
	env := []string{"PASSPORT_ISSUER=https://passport.test", "PASSPORT_SMTP_URL=smtp://mail.test", "PASSPORT_SECRET_FILE=" + held}
	c, err := Load(Sources{File: yaml, Environ: env})
	if err != nil || c.Secret != secret+"-of-the-file" {
		t.Errorf("the environment's file must win over the YAML file's secret: %v", err)
	}
	_, err = Load(Sources{Environ: good("PASSPORT_SECRET_FILE=" + held)})
	if err == nil || !strings.Contains(err.Error(), "both secret and secret_file") {
		t.Errorf("both in one layer: %v", err)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	file := write(t, "c.yaml", "isuer: x\nsmtp:\n  url: y\nkeyset_max_age: soon\n")
	_, err := Load(Sources{File: file, Environ: []string{
		"PASSPORT_ISSUER=http://passport.test/path?q", "PASSPORT_SECRET=short", "PASSPORT_COLOUR=red",
		"PASSPORT_TRUSTED_PROXIES=10.0.0.0/8,nonsense", "PASSPORT_DATABASE=mysql://x", "PASSPORT_LOG_LEVEL=loud",
		"PASSPORT_TLS_CERT_FILE=/nowhere/cert.pem", "PASSPORT_ADDR=8080", "PASSPORT_SMTP_URL_FILE=/nowhere/url",
		"PASSPORT_SECRET_PREVIOUS=" + strings.Repeat("a", 40),
	}})
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("not Faults: %v", err)
	}
	for _, want := range []string{
		"unknown key isuer", "unknown key smtp.url", "keyset_max_age: not a length", "issuer: must have no path",
		"secret: is shorter than 32", "environment: unknown key colour", "trusted_proxies: not a network (CIDR) or address: nonsense",
		"database: must be", "log_level: must be", "tls_cert_file: no such file", "tls_cert_file and tls_key_file",
		"addr: not HOST:PORT", "smtp_url_file: no such file", "secret_previous: is not random", "smtp_url: is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if _, err := Load(Sources{}); err == nil || !strings.Contains(err.Error(), "secret: is missing") || !strings.Contains(err.Error(), "issuer: is missing") {
		t.Errorf("nothing given: %v", err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	for _, yaml := range []string{"secret: [hunter2-hunter2", "secret: hunter2\n\t- x", "secret: {a: hunter2}", "smtp_url: [hunter2, b]", "database: hunter2"} {
		_, err := Load(Sources{File: write(t, "c.yaml", yaml), Environ: nil})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

func TestIssuer(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://passport.test": true, "https://passport.test:8443": true, "http://localhost:8080": true,
		"http://127.0.0.1:1": true, "http://[::1]:8080": true, "http://passport.localhost": true,
		"": false, "passport.test": false, "https://": false, "https://passport.test/": false,
		"https://passport.test/oidc": false, "https://passport.test?x": false, "https://passport.test?": false,
		"https://passport.test#x": false, "https://passport.test#": false, "http://passport.test": false,
		"http://localhost.test": false, "ftp://localhost": false, "https://u@passport.test": false,
		"https://Passport.test": false, "https://passport.test:443": false, "http://localhost:80": false,
		"http://10.0.0.1": false, "https:passport.test": false, "https://:8080": false, "https://passport.test:": false,
	} {
		if _, why := checkIssuer(issuer); (why == "") != ok {
			t.Errorf("%q: %q", issuer, why)
		}
	}
}

// What a room would refuse at the start is told by the check already.
func TestWhatRoomsRefuse(t *testing.T) {
	for value, key := range map[string]string{
		"PASSPORT_ISSUER=https://exämple.test":                       "issuer",
		"PASSPORT_ISSUER=https://203.0.113.5":                        "mail_from",
		"PASSPORT_MAIL_FROM=Passport <a@mail.test>":                  "mail_from",
		"PASSPORT_MAIL_FROM=a@[127.0.0.1]":                           "mail_from",
		"PASSPORT_MAIL_FROM=\"a b\"@mail.test":                       "mail_from",
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test:99999":         "smtp_url",
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test:0":             "smtp_url",
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test/x":             "smtp_url",
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test?tls=no":        "smtp_url",
		"PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test?starttls=no":   "smtp_url",
		"PASSPORT_SMTP_URL=smtps://u:hunter2@mail.test?starttls=off": "smtp_url",
		"PASSPORT_DKIM_SELECTOR=passport":                            "dkim_selector",
		"PASSPORT_DKIM_KEY_FILE=/key.pem":                            "dkim_selector",
		"PASSPORT_SIGNIN_PAGES=three":                                "signin_pages",
		"PASSPORT_SIGNUP=maybe":                                      "signup",
		"PASSPORT_PASSWORD_STRENGTH=5":                               "password_strength",
		"PASSPORT_PASSWORD_STRENGTH=very":                            "password_strength",
		"PASSPORT_PASSWORD_BREACH_CHECK=range":                       "password_breach_check",
		"PASSPORT_HUMAN_CHECK=sometimes":                             "human_check",
		"PASSPORT_HUMAN_CHECK_BY=vote":                               "human_check_by",
		"PASSPORT_HUMAN_CHECK_BY=siteverify":                         "siteverify_secret",
		"PASSPORT_SITEVERIFY_VENDOR=nobody":                          "siteverify_vendor",
		"PASSPORT_SITEVERIFY_URL=ftp://x.test":                       "siteverify_url",
		"PASSPORT_SITEVERIFY_SCORE=NaN":                              "siteverify_score",
		"PASSPORT_SITEVERIFY_SCORE=0":                                "siteverify_score",
		"PASSPORT_SIGNUP_PRESET=modern":                              "signup_preset",
		"PASSPORT_SIGNUP_NAME=yes":                                   "signup_name",
		"PASSPORT_SIGNUP_PHONE=on":                                   "signup_phone",
		"PASSPORT_SIGNUP_BIRTHDATE=true":                             "signup_birthdate",
		"PASSPORT_SIGNUP_RECOVERY_ADDRESS=1":                         "signup_recovery_address",
		"PASSPORT_SIGNUP_RECOVERY_QUESTION=Required":                 "signup_recovery_question",
		"PASSPORT_TERMS_VERSION=" + strings.Repeat("1", 65):          "terms_version",
		"PASSPORT_PRIVACY_VERSION=1\x072":                            "privacy_version",
		"PASSPORT_SIGNUP_DENY_DISPOSABLE=yes":                        "signup_deny_disposable",
		"PASSPORT_SIGNUP_ALLOW_DOMAINS=Example.test":                 "signup_allow_domains",
		"PASSPORT_SIGNUP_DENY_DOMAINS=*.b.test":                      "signup_deny_domains",
		"PASSPORT_HELP_URL=http://help.test/":                        "help_url",
		"PASSPORT_PRIVACY_URL=javascript:alert(1)":                   "privacy_url",
		"PASSPORT_TERMS_URL=https://u:p@t.test/":                     "terms_url",
		"PASSPORT_SESSION_LIFETIME=9601h":                            "session_lifetime",
		"PASSPORT_BRAND=Con\ntoso":                                   "brand",
		"PASSPORT_BRAND=\xff":                                        "brand",
		"PASSPORT_OUTBOUND_ALLOW=a.test,http://b.test":               "outbound_allow",
		"PASSPORT_OUTBOUND_ALLOW=*.b.test":                           "outbound_allow",
	} {
		var faults Faults
		_, err := Load(Sources{Environ: good(value)})
		if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(faults[0], key+": ") || strings.Contains(faults[0], "hunter2") {
			t.Errorf("%s: %v", value, err)
		}
	}
	for _, value := range []string{
		"PASSPORT_SMTP_URL=smtp://mail.test:25/?starttls=opportunistic", "PASSPORT_SESSION_LIFETIME=9600h",
		"PASSPORT_OUTBOUND_ALLOW=b.test:8443,10.0.0.0/8,::1,[::1]",
	} {
		if _, err := Load(Sources{Environ: good(value)}); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
	c, err := Load(Sources{Dev: true, Environ: []string{"PASSPORT_ISSUER=http://127.0.0.1:8080"}})
	if err != nil || c.MailFrom != "no-reply@localhost" {
		t.Errorf("%+v %v", c, err)
	}
}

// The keys of DKIM belong together.
func TestDKIM(t *testing.T) {
	const selector, file = "PASSPORT_DKIM_SELECTOR=2026.pass", "PASSPORT_DKIM_KEY_FILE=/key.pem"
	for value, key := range map[string]string{selector: "", "PASSPORT_DKIM_SELECTOR=a b": "dkim_selector", "PASSPORT_DKIM_SELECTOR=A": "dkim_selector"} {
		_, err := Load(Sources{Environ: good(file, value, "PASSPORT_DKIM_DOMAIN=mail.test")})
		var faults Faults
		if key == "" && err != nil || key != "" && (!errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(faults[0], key+": ")) {
			t.Errorf("%s: %v", value, err)
		}
	}
	for _, domain := range []string{"Mail.test", "a b", "-.test", "mail"} {
		var faults Faults
		_, err := Load(Sources{Environ: good(file, selector, "PASSPORT_DKIM_DOMAIN="+domain)})
		if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(faults[0], "dkim_domain: ") {
			t.Errorf("%s: %v", domain, err)
		}
	}
}

// TestSignUpFields: 4.3, a preset, and what says otherwise.
func TestSignUpFields(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want [5]string
	}{
		{nil, [5]string{"required", "off", "off", "off", "off"}},
		{[]string{"PASSPORT_SIGNUP_PRESET=standard", "PASSPORT_SIGNUP_PHONE=optional", "PASSPORT_SIGNUP_NAME=off"}, [5]string{"off", "optional", "off", "off", "off"}},
		{[]string{"PASSPORT_SIGNUP_PRESET=classic"}, [5]string{"required", "optional", "required", "optional", "required"}},
		{[]string{"PASSPORT_SIGNUP_PRESET=classic", "PASSPORT_SIGNUP_BIRTHDATE=off", "PASSPORT_SIGNUP_RECOVERY_ADDRESS=required", "PASSPORT_SIGNUP_RECOVERY_QUESTION=optional"},
			[5]string{"required", "optional", "off", "required", "optional"}},
	} {
		got, err := Load(Sources{Environ: good(c.set...)})
		if err != nil {
			t.Fatal(err)
		}
		if is := [5]string{got.SignUpName, got.SignUpPhone, got.SignUpBirthDate, got.SignUpRecoveryAddress, got.SignUpRecoveryQuestion}; is != c.want {
			t.Errorf("%v: %v", c.set, is)
		}
	}
}

// Kubernetes sets such variables in every pod when a service is called passport, or passport-something.
func TestKubernetesVariablesAreIgnored(t *testing.T) {
	injected := []string{
		"PASSPORT_PORT=tcp://10.0.0.1:8080", "PASSPORT_PORT_8080_TCP=tcp://10.0.0.1:8080", "PASSPORT_PORT_8080_TCP_ADDR=10.0.0.1",
		"PASSPORT_PORT_8080_TCP_PORT=8080", "PASSPORT_PORT_8080_TCP_PROTO=tcp", "PASSPORT_SERVICE_HOST=10.0.0.1",
		"PASSPORT_SERVICE_PORT=8080", "PASSPORT_SERVICE_PORT_HTTP=8080",
		"PASSPORT_ADMIN_PORT=tcp://10.0.0.1:9090", "PASSPORT_ADMIN_SERVICE_HOST=10.0.0.1", "PASSPORT_ADMIN_PORT_9090_TCP_ADDR=10.0.0.1",
	}
	if _, err := Load(Sources{Environ: good(injected...)}); err != nil {
		t.Error(err)
	}
	if _, err := Load(Sources{Environ: good("PASSPORT_PORTS=1")}); err == nil {
		t.Error("PASSPORT_PORTS is none of theirs and none of ours")
	}
	for _, k := range Keys() {
		for _, name := range []string{k.Env(), k.Env() + "_FILE"} {
			if notOurs.MatchString(name) {
				t.Errorf("Kubernetes could set %s", name)
			}
		}
	}
}

var update = flag.Bool("update", false, "write deploy/configuration.md")

// The reference is held against the struct.
func TestReference(t *testing.T) {
	name := filepath.Join("..", "..", "deploy", "configuration.md")
	if *update {
		if err := os.WriteFile(name, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.ReadFile(name)
	if err != nil || string(held) != Reference() {
		t.Errorf("deploy/configuration.md is not what the keys are (%v): go test ./pkg/config -update", err)
	}
	for _, k := range Keys() {
		if k.Doc == "" || strings.Contains(k.Doc, "|") {
			t.Errorf("%s: no meaning, or one that breaks the table", k.Name)
		}
	}
}

func TestPrintHidesSecrets(t *testing.T) {
	c, err := Load(Sources{Environ: good("PASSPORT_DATABASE=postgres://u:hunter2@db.test/x?password=hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Values() {
		if s, _ := v.Value.(string); strings.Contains(s, "hunter2") || strings.Contains(s, secret) {
			t.Errorf("%s is shown", v.Key)
		}
	}
}

// The inbox of --dev shows every mail: nobody else may reach it.
func TestDevIsForThisMachine(t *testing.T) {
	for _, e := range []string{"PASSPORT_ADDR=0.0.0.0:8080", "PASSPORT_ADDR=:8080", "PASSPORT_ISSUER=https://passport.test", "PASSPORT_ADDR=127.0.0.1:0"} {
		if _, err := Load(Sources{Dev: true, Environ: []string{e}}); err == nil {
			t.Error(e)
		}
	}
	c, err := Load(Sources{Dev: true})
	if err != nil || len(c.LimitExempt) != 2 || len(c.OutboundAllow) != 1 {
		t.Errorf("%+v %v", c, err)
	}
}
