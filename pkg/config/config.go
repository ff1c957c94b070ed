package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Config is everything that an operator can set. The tag of a field is its place in the reference:
// key is its name in a YAML file; PASSPORT_ and the name in capitals is its name in the environment.
// A field with secret:"yes" can also be given as the name of a file that holds it (key + "_file").
type Config struct {
	Issuer    string `key:"issuer" doc:"The URL of this server as browsers and sites see it: scheme, host and port, nothing behind. https, or http on loopback. Required without --dev."`
	Addr      string `key:"addr" default:"127.0.0.1:8080" doc:"Where the server listens."`
	AdminAddr string `key:"admin_addr" default:"127.0.0.1:9090" doc:"Where /livez, /readyz and /metrics listen: never to be reached by the public. \"off\": nowhere."`
	Data      string `key:"data" default:"passport-data" doc:"The folder of the SQLite file and, with --dev, of the secret."`
	Database  string `key:"database" secret:"yes" doc:"sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME, behind which ?pool_max_conns=N says how many connections this server opens at most, and one more on which it listens: 2 to 1000, 20 without it. Default: sqlite: with passport.db in the data folder."`

	Secret         string   `key:"secret" secret:"yes" doc:"At least 32 random bytes, for example of \"openssl rand -base64 32\". It seals the keys in the database: keep a copy beside your backups. Required without --dev."`
	SecretPrevious []string `key:"secret_previous" secret:"yes" doc:"Earlier secrets, while \"passport keys reseal\" has not yet run."`

	SMTPURL      string `key:"smtp_url" secret:"yes" doc:"smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465. STARTTLS is demanded of the first, but on loopback; ?starttls=require demands it there too, ?starttls=opportunistic does without where the server has none, ?starttls=off does not ask for it. Required without --dev, where mail goes to /dev/inbox."`
	MailFrom     string `key:"mail_from" doc:"The sender of our mail. Default: no-reply at the issuer's host."`
	DKIMSelector string `key:"dkim_selector" doc:"Mails are signed (DKIM) with the key of dkim_key_file under this name; \"passport mail check-dns\" tells the record to publish at SELECTOR._domainkey.DOMAIN. Default: they are not signed here."`
	DKIMKeyFile  string `key:"dkim_key_file" doc:"The private key (PEM) for that: RSA of at least 2048 bits, of \"openssl genrsa 2048\", or Ed25519."`
	DKIMDomain   string `key:"dkim_domain" doc:"The domain that answers for the mail. Default: that of mail_from."`
	Brand        string `key:"brand" default:"Passport" doc:"The name that pages and mails bear."`

	HelpURL        string `key:"help_url" doc:"Your help centre, https: a link in the foot of every page and mail."`
	PrivacyURL     string `key:"privacy_url" doc:"Your privacy policy, https: a link in the foot of every page and mail."`
	TermsURL       string `key:"terms_url" doc:"Your terms of use, https: a link in the foot of every page and mail."`
	TermsVersion   string `key:"terms_version" doc:"The version of your terms, any short text such as a date. When it changes everybody is asked to accept them at the next sign-in, and no site gets anything before; accounts that you make, at their first one."`
	PrivacyVersion string `key:"privacy_version" doc:"The same for your privacy policy."`

	SignUp               string   `key:"signup" default:"open" doc:"Who may create an account: \"open\": anybody. \"invitation\": who has a link of \"passport invitation create\". \"closed\": nobody; you make them by \"passport account create\". Who has registered before it is changed has the three days to confirm."`
	SignUpAllowDomains   []string `key:"signup_allow_domains" doc:"Mail domains, with all below them, that addresses of accounts must be of. Default: any."`
	SignUpDenyDomains    []string `key:"signup_deny_domains" doc:"Mail domains, with all below them, that addresses of accounts may not be of. Who has registered with one before it is denied cannot confirm any more."`
	SignUpDenyDisposable bool     `key:"signup_deny_disposable" default:"false" doc:"\"true\": mail domains of a built-in list of disposable addresses are denied too."`

	SignUpPreset           string `key:"signup_preset" default:"standard" doc:"What the registration form asks for beside address and password. \"standard\": the name. \"classic\": all that the old forms had: name, birth date and recovery question, which are required, phone and recovery address, which are not. The five keys below say otherwise, each for its field: \"off\", \"optional\" or \"required\". What is required is asked for at the registration alone: accounts that you make, or that are older than the setting, may not have it."`
	SignUpName             string `key:"signup_name" doc:"The name. Default: by signup_preset."`
	SignUpPhone            string `key:"signup_phone" doc:"The phone number, with its country code; nothing proves that it is the person's. Default: by signup_preset."`
	SignUpBirthDate        string `key:"signup_birthdate" doc:"The date of birth. Default: by signup_preset."`
	SignUpRecoveryAddress  string `key:"signup_recovery_address" doc:"A second address that leads back into the account. Default: by signup_preset."`
	SignUpRecoveryQuestion string `key:"signup_recovery_question" doc:"A question whose answer is asked for in addition when a password is forgotten. Default: by signup_preset."`
	PasswordStrength       int    `key:"password_strength" default:"1" doc:"How hard to guess a new password must be, by zxcvbn: 0 (as it likes; the built-in list of common ones holds all the same), 1 (a million guesses) to 4 (ten thousand million)."`
	PasswordBreachCheck    string `key:"password_breach_check" doc:"A service that new passwords are looked up in, among those that others have lost, such as https://api.pwnedpasswords.com/range/. It learns five digits of a hash, and has a second to answer. Default: none."`

	HumanCheck        string  `key:"human_check" default:"suspicion" doc:"When people are asked to show that they are no program. \"always\": at each registration, recovery and sign-in. \"suspicion\": when a network or an account has had many tries, or very many register at once. \"never\"."`
	HumanCheckBy      string  `key:"human_check_by" default:"work" doc:"How they show it. \"work\": the browser works for a second; without JavaScript people read or hear six digits; nobody else is asked. \"siteverify\": by the service of siteverify_vendor, which needs JavaScript; while it is down nobody registers or recovers."`
	SiteverifyVendor  string  `key:"siteverify_vendor" default:"turnstile" doc:"turnstile, hcaptcha, recaptcha (version 2) or recaptcha_v3."`
	SiteverifySiteKey string  `key:"siteverify_site_key" doc:"The key of that service that stands in the pages."`
	SiteverifySecret  string  `key:"siteverify_secret" secret:"yes" doc:"The secret that the service is asked with."`
	SiteverifyURL     string  `key:"siteverify_url" doc:"Where it is asked. Default: the vendor's own address."`
	SiteverifyScore   float64 `key:"siteverify_score" default:"0.5" doc:"The least score that is a person's, for recaptcha_v3: above 0, at most 1."`

	SignInPages string `key:"signin_pages" default:"one" doc:"\"one\": the sign-in page asks for address and password together. \"two\": it asks for the address, and then for the password on a page of its own."`

	TLSCertFile    string         `key:"tls_cert_file" doc:"Certificate chain (PEM): the server then speaks TLS itself. SIGHUP reads it again."`
	TLSKeyFile     string         `key:"tls_key_file" doc:"The private key (PEM) of that certificate."`
	TrustedProxies []netip.Prefix `key:"trusted_proxies" doc:"Networks (CIDR) of the proxies in front, whose X-Forwarded-For is believed. Without it everybody behind a proxy has the proxy's address, and shares one network's limits."`

	OutboundAllow   []string       `key:"outbound_allow" doc:"Hosts and networks (CIDR) inside your own network that the server may fetch from, over plain http too. With --dev: localhost."`
	OutboundCAFile  string         `key:"outbound_ca_file" doc:"Certificates (PEM) that the mail server and the servers we fetch from are checked against, beside the system's."`
	SecurityContact string         `key:"security_contact" doc:"Where to report a hole in your service, for /.well-known/security.txt: mailto:NAME@HOST or https://… Default: security at the host of mail_from (RFC 2142). \"off\": there is no such file."`
	LimitExempt     []netip.Prefix `key:"limit_exempt" doc:"Networks (CIDR) that the limits by network do not count. With --dev: 127.0.0.0/8 and ::1."`

	Registration      string `key:"registration" default:"token" doc:"Who may register a site at /connect/register: \"off\": nobody. \"token\": whoever has a token of \"passport client registration-token create\". \"open\": anybody; a site that you do not vouch for, and that nobody has signed in at within 30 days, is removed again."`
	RegistrationTrust string `key:"registration_trust" default:"unverified" doc:"What people are told of sites that registered without a token. \"unverified\": each sign-in asks for consent and says that nobody knows who they are. \"verified\": nothing."`

	SessionLifetime time.Duration `key:"session_lifetime" default:"720h" doc:"How long a sign-in lasts in a browser that is asked to keep it, from the moment of the password on. In others it ends with the browser, and after twelve hours."`
	KeySetMaxAge    time.Duration `key:"keyset_max_age" default:"5m" doc:"How long others may cache the key set; a new key is published that long before it signs."`
	RefreshGrace    time.Duration `key:"refresh_grace" default:"10s" doc:"How long a refresh token that was just exchanged is answered with the same successor again. 0s: not at all."`
	ShutdownDelay   time.Duration `key:"shutdown_delay" default:"5s" doc:"From SIGTERM on, how long requests are still taken while /readyz says no: twice the load balancer's interval and one second. With --dev: 0s."`
	ShutdownLimit   time.Duration `key:"shutdown_limit" default:"20s" doc:"How long requests that run may take to end after that."`
	LogLevel        slog.Level    `key:"log_level" default:"info" doc:"debug, info, warn or error."`

	Dev bool // of the flag --dev alone
}

// EnvPrefix begins the name of every environment variable that is ours.
const EnvPrefix = "PASSPORT_"

// Key describes one key: a line of the reference.
type Key struct {
	Name    string // in a YAML file
	Default string
	Doc     string
	Secret  bool
	field   int
}

// Env is the key's name in the environment.
func (k Key) Env() string { return EnvPrefix + strings.ToUpper(k.Name) }

// Keys lists every key in the order of the reference.
func Keys() []Key {
	t := reflect.TypeFor[Config]()
	var keys []Key
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if name := tag.Get("key"); name != "" {
			keys = append(keys, Key{
				Name: name, Default: tag.Get("default"), Doc: tag.Get("doc"),
				Secret: tag.Get("secret") != "", field: i,
			})
		}
	}
	return keys
}
