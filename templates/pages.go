package templates

import (
	"html/template"
	"time"
)

// Person is who a page speaks of.
type Person struct {
	LoginID string
	Name    string
	Email   string
}

// Nth counts the accounts of a page from one.
func (*Accounts) Nth(i int) int { return i + 1 }

// Initial is what stands in the person's roundel.
func (p Person) Initial() string {
	for _, r := range p.Name + p.Email {
		return string(r)
	}
	return ""
}

// Site is a registered client as people see it.
type Site struct {
	Name   string
	Host   string // where the person is taken: what can be checked; empty for a stranger's device
	Policy string // its privacy policy, or empty
	Terms  string // its terms, or empty
	Logo   string // where its picture is, on this server; or empty
	Known  bool   // the operator vouches for who it is
}

// Login asks for the address and the password.
type Login struct {
	Base
	Site     *Site // nil: outside a flow
	Email    string
	Accounts bool // offers the accounts of this browser
	NameOnly bool // the first of two pages: no password yet
	Named    bool // the second of two pages: the address stands
	Again    bool // the person is signed in, and does something dangerous
	Keep     bool // "keep me signed in" is ticked
	Open     bool // people can register
}

// Accounts lets the person choose an account of this browser.
type Accounts struct {
	Base
	Site   *Site
	People []Person
}

// Consent asks whether the site may know what it asks for.
type Consent struct {
	Base
	Site   *Site
	Person Person
	Items  []Item
	Device string // the code that a device shows; empty: it is no device
	Once   bool   // a yes counts for this sign-in, and is not remembered
}

// Device asks for the code that a device shows.
type Device struct {
	Base
	Code string
}

// Start is the door to a site from our side.
type Start struct {
	Base
	Site *Site
	ID   string // the client's, as it stands in the address
	To   string // the page of the site that is asked for, or empty
}

// LoggedOut says that somebody is signed out, and how far each site has been told.
type LoggedOut struct {
	Base
	Sites  []Told
	Frames []string     // addresses that sign out at a site when they are opened
	To     template.URL // where the browser goes when they are; checked at registration
	Back   string       // whose place that is
	Again  string       // where to look once more; empty: nothing changes any more
	Others bool         // other accounts stay signed in here
	Same   bool         // the account itself does: it was signed out in other browsers
}

// Told is a site and how far it has been told: Key is a message key.
type Told struct{ Name, Host, Key string }

// Script is the address of the page's script.
func (*LoggedOut) Script() string { return assetPath("loggedout.js") }

// Item is one thing that the site gets: Key says what, Value is the person's own, if it fits a line.
type Item struct{ Key, Value string }

// Already is what somebody sees who is signed in and comes to register.
type Already struct {
	Base
	Site   *Site
	People []Person
}

// Nth counts the accounts of a page from one.
func (*Already) Nth(i int) int { return i + 1 }

// Register asks for an address, a password and what the operator wants to know.
type Register struct {
	Base
	Site                   *Site
	Email                  string
	Instead                string // id of the registration that is corrected; empty: none
	Full, Phone, Birthdate Asked
	Recovery, Question     Asked // the question comes with its answer
}

// Asked is a field that a form may have, with what was typed into it.
type Asked struct {
	Want  string // "optional" or "required"; empty: the form does not have it
	Value string
}

// Terms shows what the person agrees to by typing the address again.
type Terms struct {
	Base
	Site   *Site
	Sealed string // the data of the page before, sealed
	Email  string
}

// Accept asks who is signed in to accept the terms that hold now.
type Accept struct {
	Base
	Site                         *Site
	Person                       Person
	TermsVersion, PrivacyVersion string // empty: they have none
}

// Waiting says that a mail is under way.
type Waiting struct {
	Base
	Email string
	Own   bool // this browser registered: the address can be corrected
	Sent  bool // once more, just now
	Dev   bool // there is /dev/inbox
}

// Confirm is where the first link of the mail leads.
type Confirm struct {
	Base
	Email string
	Full  string
	Own   bool // this browser registered: one button will do
	Fresh bool // the person would rather set a new password
}

// Lookup asks for the address of which somebody does not know whether it has an account.
type Lookup struct {
	Base
	Site  *Site
	Email string
}

// Help leads to each way back into an account.
type Help struct {
	Base
	Site *Site
	Open bool // people can register
}

// Recover asks for the address of an account whose password is forgotten.
type Recover struct {
	Base
	Site  *Site
	Email string
}

// NewPassword is where the mail of a recovery leads.
type NewPassword struct {
	Base
	Email    string
	Question string // empty: none
}

// Alarm is where "this wasn't me" in a mail leads.
type Alarm struct {
	Base
	Email string
}

// Request is for who can read none of an account's mail.
type Request struct {
	Base
	Account, Reach string // as typed
}

// Details asks what they know of the account.
type Details struct {
	Base
	Email                         string // where to reach them
	Birthdate, Phone, Sites, Note string // as typed
}

// Stop is where the notices of a request lead.
type Stop struct {
	Base
	Email string
}

// Regain is where the mail of an approved request leads.
type Regain struct {
	Base
	Email string
}

// Reopen is where the mail of a closed account leads.
type Reopen struct {
	Base
	Email string
}

// Allow is where the mail about an account that strangers guess at leads.
type Allow struct {
	Base
	Email string
}

// Cancel is where the other link leads.
type Cancel struct {
	Base
	Email string
}

// Notice says one thing and offers one way on.
type Notice struct {
	Base
	Title, Body string // message keys
	Site        string // fills {site}
	Action      string // message key of the link
	To          string // where it leads
}

// Logout asks whether to sign out.
type Logout struct {
	Base
	Site  string // the name of the site that asked; empty: the person did
	Email string // the one account of several that signs out; empty: all
	// People are the accounts of this browser, where one may be chosen instead of all.
	People []Person
}

// Nth counts the accounts of a page from one.
func (*Logout) Nth(i int) int { return i + 1 }

// Error is every error page.
type Error struct {
	Base
	Status int
	Key    string // error.<Key>.title and .body exist
}

// FormPost hands the answer to the site by a form (OAuth 2.0 Form Post Response Mode).
type FormPost struct {
	Base
	Action template.URL // checked at registration; html/template would not let a custom scheme pass
	Params []Param
	Script template.JS // sends the form; its hash is in the policy
}

// Param is one field of FormPost.
type Param struct{ Name, Value string }

// Home is the start page.
type Home struct {
	Base
	Person *Person // nil: nobody is signed in
	Open   bool    // people can register
	Dev    bool
}

// Inbox is the developer's mail box.
type Inbox struct {
	Base
	Letters []Letter
}

// Letter is one message in it.
type Letter struct {
	Base
	ID      string
	To      string
	Subject string
	At      time.Time
	Lines   []Line
}

// Line is a line of the text part. One that is a link is shown as one.
type Line struct {
	Text string
	Href string // only a path of ours
}

func (*Login) Name() string       { return "login" }
func (*Accounts) Name() string    { return "accounts" }
func (*Consent) Name() string     { return "consent" }
func (*Register) Name() string    { return "register" }
func (*Already) Name() string     { return "already" }
func (*Lookup) Name() string      { return "lookup" }
func (*Help) Name() string        { return "help" }
func (*Accept) Name() string      { return "accept" }
func (*Terms) Name() string       { return "terms" }
func (*Waiting) Name() string     { return "waiting" }
func (*Confirm) Name() string     { return "confirm" }
func (*Cancel) Name() string      { return "cancel" }
func (*Recover) Name() string     { return "recover" }
func (*NewPassword) Name() string { return "new_password" }
func (*Alarm) Name() string       { return "alarm" }
func (*Request) Name() string     { return "request" }
func (*Details) Name() string     { return "details" }
func (*Stop) Name() string        { return "stop" }
func (*Regain) Name() string      { return "regain" }
func (*Reopen) Name() string      { return "reopen" }
func (*Allow) Name() string       { return "allow" }
func (*Notice) Name() string      { return "notice" }
func (*Logout) Name() string      { return "logout" }
func (*LoggedOut) Name() string   { return "loggedout" }
func (*Device) Name() string      { return "device" }
func (*Start) Name() string       { return "start" }
func (*Error) Name() string       { return "error" }
func (*FormPost) Name() string    { return "form_post" }
func (*Home) Name() string        { return "home" }
func (*Inbox) Name() string       { return "inbox" }
func (*Letter) Name() string      { return "letter" }
