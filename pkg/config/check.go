package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/knadh/koanf/v2"
)

// fill sets every field from its text, and tells which texts are none of the field's kind.
func (c *Config) fill(keys map[string]Key, k *koanf.Koanf) (faults []string) {
	v := reflect.ValueOf(c).Elem()
	for _, key := range Keys() {
		var words []string
		switch k.Get(key.Name).(type) {
		case nil:
			continue
		case []any, []string:
			words = k.Strings(key.Name)
		default:
			words = []string{strings.TrimSpace(k.String(key.Name))}
		}
		if why := set(v.Field(key.field).Addr().Interface(), words); why != "" {
			faults = append(faults, key.Name+": "+why)
		}
	}
	return faults
}

// set parses words into field; a list may come as one text with commas. It returns why it cannot.
func set(field any, words []string) string {
	switch f := field.(type) {
	case *[]string:
		*f = split(words)
		return ""
	case *[]netip.Prefix:
		for _, w := range split(words) {
			p, err := prefix(w)
			if err != nil {
				return "not a network (CIDR) or address: " + w
			}
			*f = append(*f, p)
		}
		return ""
	}
	if len(words) != 1 {
		return "one value, not a list"
	}
	switch f := field.(type) {
	case *string:
		*f = words[0]
	case *bool:
		if words[0] != "true" && words[0] != "false" {
			return "must be true or false"
		}
		*f = words[0] == "true"
	case *time.Duration:
		d, err := time.ParseDuration(words[0])
		if err != nil || d < 0 {
			return "not a length of time such as 10s, 5m or 24h"
		}
		*f = d
	case *slog.Level:
		if f.UnmarshalText([]byte(words[0])) != nil {
			return "must be debug, info, warn or error"
		}
	case *float64:
		x, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			return "not a number"
		}
		*f = x
	case *int:
		n, err := strconv.Atoi(words[0])
		if err != nil {
			return "not a whole number"
		}
		*f = n
	default:
		return fmt.Sprintf("has a field of an unknown kind, %T", field)
	}
	return ""
}

func split(words []string) (list []string) {
	for _, w := range words {
		for part := range strings.SplitSeq(w, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// complete derives what was left out, and tells everything that cannot be so.
func (c *Config) complete() (faults []string) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	at, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "" || port == "0" {
		add("addr: not HOST:PORT")
	} else if c.Dev && !loopback(at) {
		// The inbox shows every mail to whoever asks.
		add("addr: with --dev the server listens on loopback only")
	}
	if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil && c.AdminAddr != "off" {
		add("admin_addr: not HOST:PORT, nor off")
	}
	if c.Dev && c.Issuer == "" {
		c.Issuer = "http://localhost:" + port
	}
	host, why := checkIssuer(c.Issuer)
	if why != "" {
		add("issuer: %s", why)
	} else if c.Dev && !loopback(host) {
		add("issuer: with --dev it must be a loopback address")
	}
	if c.Database == "" {
		c.Database = "sqlite:" + filepath.Join(c.Data, "passport.db")
	}
	if why := checkDatabase(c.Database); why != "" {
		add("database: %s", why)
	}
	faults = append(faults, c.checkSecrets()...)
	faults = append(faults, c.checkMail(host)...)
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		add("tls_cert_file and tls_key_file: both or none")
	}
	for _, pem := range [][2]string{
		{"tls_cert_file", c.TLSCertFile}, {"tls_key_file", c.TLSKeyFile},
		{"outbound_ca_file", c.OutboundCAFile},
	} {
		if why := checkPEM(pem[1]); why != "" {
			add("%s: %s", pem[0], why)
		}
	}
	if c.KeySetMaxAge < time.Second || c.KeySetMaxAge > 24*time.Hour {
		add("keyset_max_age: must be from 1s to 24h")
	}
	if c.RefreshGrace > time.Minute {
		add("refresh_grace: at most 1m")
	}
	if c.SessionLifetime < time.Minute || c.SessionLifetime > maxSession {
		add("session_lifetime: must be from 1m to 9600h")
	}
	for _, entry := range c.OutboundAllow {
		if _, err := netip.ParsePrefix(entry); err != nil && strings.ContainsAny(entry, "*/@?#\\ ") {
			add("outbound_allow: not a host, address or network (CIDR): %s", entry)
		}
	}
	// It stands in the headers of mails: with a line end in it none would ever go.
	if strings.TrimSpace(c.Brand) == "" || len(c.Brand) > 64 || !utf8.ValidString(c.Brand) || strings.ContainsFunc(c.Brand, unicode.IsControl) {
		add("brand: 1 to 64 bytes, in one line")
	}
	if !slices.Contains([]string{"off", "token", "open"}, c.Registration) {
		add("registration: must be off, token or open")
	}
	faults = append(faults, c.checkSignUp()...)
	if c.RegistrationTrust != "unverified" && c.RegistrationTrust != "verified" {
		add("registration_trust: must be unverified or verified")
	}
	for _, link := range []struct{ key, address string }{{"help_url", c.HelpURL}, {"privacy_url", c.PrivacyURL}, {"terms_url", c.TermsURL}} {
		if u, err := url.Parse(link.address); link.address != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
			add("%s: must be an https URL", link.key)
		}
	}
	if why := checkContact(c.SecurityContact); why != "" {
		add("security_contact: %s", why)
	}
	faults = append(faults, c.checkHuman()...)
	if c.SignInPages != "one" && c.SignInPages != "two" {
		add("signin_pages: must be one or two")
	}
	return faults
}

// checkSignUp: who may create an account, with what, and what they agree to.
func (c *Config) checkSignUp() (faults []string) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, list := range []struct {
		key     string
		domains []string
	}{{"signup_allow_domains", c.SignUpAllowDomains}, {"signup_deny_domains", c.SignUpDenyDomains}} {
		for _, domain := range list.domains {
			if !mailDomain.MatchString(domain) {
				add("%s: not a mail domain in lower case: %s", list.key, domain)
			}
		}
	}
	for _, v := range []struct{ key, version string }{{"terms_version", c.TermsVersion}, {"privacy_version", c.PrivacyVersion}} {
		if len(v.version) > 64 || strings.ContainsFunc(v.version, func(r rune) bool { return !unicode.IsPrint(r) }) {
			add("%s: at most 64 bytes that can be printed", v.key)
		}
	}
	if !slices.Contains([]string{"open", "invitation", "closed"}, c.SignUp) {
		add("signup: must be open, invitation or closed")
	}
	if c.PasswordStrength < 0 || c.PasswordStrength > 4 {
		add("password_strength: must be from 0 to 4")
	}
	if c.PasswordBreachCheck != "" && !service(c.PasswordBreachCheck) {
		add("password_breach_check: must be an https URL that five digits can be put behind")
	}
	return append(faults, c.checkFields()...)
}

// service tells whether a service could be asked there: by https, or by http where outbound_allow names it.
func service(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}

// presets are what signup_preset stands for: name, phone, birth date, recovery address, recovery question.
var presets = map[string][5]string{
	"standard": {"required", "off", "off", "off", "off"},
	"classic":  {"required", "optional", "required", "optional", "required"},
}

// checkFields fills in what the preset says of the registration form's fields.
func (c *Config) checkFields() (faults []string) {
	preset, ok := presets[c.SignUpPreset]
	if !ok {
		return []string{"signup_preset: must be standard or classic"}
	}
	for i, field := range []struct {
		key  string
		want *string
	}{
		{"signup_name", &c.SignUpName}, {"signup_phone", &c.SignUpPhone}, {"signup_birthdate", &c.SignUpBirthDate},
		{"signup_recovery_address", &c.SignUpRecoveryAddress}, {"signup_recovery_question", &c.SignUpRecoveryQuestion},
	} {
		if *field.want == "" {
			*field.want = preset[i]
		}
		if !slices.Contains([]string{"off", "optional", "required"}, *field.want) {
			faults = append(faults, field.key+": must be off, optional or required")
		}
	}
	return faults
}

// siteverifyVendors are those that package human knows.
var siteverifyVendors = []string{"turnstile", "hcaptcha", "recaptcha", "recaptcha_v3"}

func (c *Config) checkHuman() (faults []string) {
	if !slices.Contains([]string{"always", "suspicion", "never"}, c.HumanCheck) {
		faults = append(faults, "human_check: must be always, suspicion or never")
	}
	if c.HumanCheckBy != "work" && c.HumanCheckBy != "siteverify" {
		faults = append(faults, "human_check_by: must be work or siteverify")
	}
	if !slices.Contains(siteverifyVendors, c.SiteverifyVendor) {
		faults = append(faults, "siteverify_vendor: must be one of "+strings.Join(siteverifyVendors, ", "))
	}
	if !(c.SiteverifyScore > 0 && c.SiteverifyScore <= 1) { // NaN is a number too
		faults = append(faults, "siteverify_score: must be above 0 and at most 1")
	}
	if c.SiteverifyURL != "" && !service(c.SiteverifyURL) {
		faults = append(faults, "siteverify_url: must be an https URL")
	}
	if c.HumanCheckBy == "siteverify" && c.HumanCheck != "never" && (c.SiteverifySiteKey == "" || c.SiteverifySecret == "") {
		faults = append(faults, "siteverify_secret: is needed, and siteverify_site_key, for human_check_by: siteverify")
	}
	return faults
}

// mailDomain is a host name of at least two labels, an international one as xn--…: what account.Door compares with.
var mailDomain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkContact: RFC 9116 §2.5.3 wants a URI.
func checkContact(s string) string {
	u, err := url.Parse(s)
	switch {
	case s == "", s == "off":
		return ""
	case err != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }),
		u.Scheme != "https" && u.Scheme != "mailto", u.Scheme == "https" && u.Host == "", u.Scheme == "mailto" && u.Opaque == "":
		return "must be mailto:NAME@HOST, https://… or off"
	}
	return ""
}

// maxSession: browsers keep no cookie for more than 400 days.
const maxSession = 400 * 24 * time.Hour

func checkPEM(file string) string {
	if file == "" {
		return ""
	}
	held, err := os.ReadFile(file)
	if err != nil {
		return reason(err)
	}
	if !bytes.Contains(held, []byte("-----BEGIN ")) {
		return "holds no PEM"
	}
	return ""
}

// checkIssuer: a root URL, because __Host- cookies, FedCM and RFC 8414 want it so; and what stands in it is
// compared byte by byte by every site, so only its plainest spelling will do.
func checkIssuer(issuer string) (host, why string) {
	if issuer == "" {
		return "", "is missing"
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "", "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return "", "must be https"
	case u.User != nil:
		return "", "must not have a user"
	case u.Path != "" || u.RawPath != "":
		return "", "must have no path, not even a / at its end"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return "", "must have no query and no fragment"
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", "must be https: plain http is for loopback alone"
	case issuer != strings.ToLower(issuer):
		return "", "must be in small letters"
	case strings.ContainsFunc(issuer, func(r rune) bool { return r > '~' }):
		return "", "must spell its host in ASCII (xn--…), as browsers send it"
	case u.Port() == map[string]string{"https": "443", "http": "80"}[u.Scheme], strings.HasSuffix(u.Host, ":"):
		return "", "must not name its scheme's own port"
	}
	return u.Hostname(), ""
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func checkDatabase(name string) string {
	if file, ok := strings.CutPrefix(name, "sqlite:"); ok {
		if file == "" || strings.ContainsAny(file, "?#") {
			return "sqlite: needs the name of a file, without ? and #"
		}
		return ""
	}
	if !strings.HasPrefix(name, "postgres://") && !strings.HasPrefix(name, "postgresql://") {
		return "must be sqlite:FILE or postgres://…"
	}
	if u, err := url.Parse(name); err != nil || u.Host == "" && u.Query().Get("host") == "" {
		return "is not a PostgreSQL URL"
	}
	return ""
}

// MinSecret is the least length of a secret in bytes.
const MinSecret = 32

func (c *Config) checkSecrets() (faults []string) {
	if c.Secret == "" {
		if !c.Dev { // with --dev one is made in the data folder
			faults = append(faults, "secret: is missing")
		}
	} else if why := weak(c.Secret); why != "" {
		faults = append(faults, "secret: "+why)
	}
	for _, s := range c.SecretPrevious {
		if why := weak(s); why != "" {
			faults = append(faults, "secret_previous: "+why)
		}
	}
	return faults
}

// weak refuses what is short, and what is long but surely not random.
func weak(secret string) string {
	if len(secret) < MinSecret {
		return fmt.Sprintf("is shorter than %d bytes", MinSecret)
	}
	seen := map[byte]bool{}
	for i := range len(secret) {
		seen[secret[i]] = true
	}
	if len(seen) < 10 {
		return "is not random"
	}
	return ""
}

func (c *Config) checkMail(issuerHost string) (faults []string) {
	switch {
	case c.SMTPURL != "":
		if why := checkSMTP(c.SMTPURL); why != "" {
			faults = append(faults, "smtp_url: "+why)
		}
	case !c.Dev:
		faults = append(faults, "smtp_url: is missing (without mail nobody can confirm an address)")
	}
	if c.MailFrom == "" && issuerHost != "" {
		if loopback(issuerHost) {
			issuerHost = "localhost"
		}
		if _, err := netip.ParseAddr(issuerHost); err == nil {
			return append(faults, "mail_from: is missing (the issuer's host is no name)")
		}
		c.MailFrom = "no-reply@" + issuerHost
	}
	if _, host, _ := strings.Cut(c.MailFrom, "@"); c.SecurityContact == "" && host != "" {
		c.SecurityContact = "mailto:security@" + host // RFC 2142 §4
	}
	a, err := mail.ParseAddress(c.MailFrom)
	if c.MailFrom != "" && (err != nil || a.Address != c.MailFrom || strings.ContainsAny(c.MailFrom, `[]"`)) {
		faults = append(faults, "mail_from: is not a plain mail address (name@host)")
	}
	if (c.DKIMSelector == "") != (c.DKIMKeyFile == "") || c.DKIMDomain != "" && c.DKIMKeyFile == "" {
		faults = append(faults, "dkim_selector: is of use with dkim_key_file alone, and the other way round")
	}
	if c.DKIMDomain != "" && !mailDomain.MatchString(c.DKIMDomain) {
		faults = append(faults, "dkim_domain: not a mail domain in lower case")
	}
	if c.DKIMSelector != "" && !mailDomain.MatchString(c.DKIMSelector+".x") { // one label is enough
		faults = append(faults, "dkim_selector: not a name of the DNS in lower case")
	}
	return faults
}

// checkSMTP never repeats the URL: it has the password.
func checkSMTP(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return "must be smtp://… or smtps://…"
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return "must have nothing behind host and port but ?starttls="
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return "has no valid port"
	}
	for name, values := range u.Query() {
		if name != "starttls" || u.Scheme != "smtp" || len(values) != 1 ||
			!slices.Contains([]string{"require", "opportunistic", "off"}, values[0]) {
			return "has an option that is not starttls=require, opportunistic or off, of smtp://"
		}
	}
	return ""
}
