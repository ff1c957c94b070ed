package templates

import (
	"strings"
	"time"
)

// Password changes the password of who is signed in.
type Password struct {
	Base
	Person Person
	Saved  bool
}

// Address shows the addresses of the account, and asks for another.
type Address struct {
	Base
	Person    Person
	Addresses []Mailbox
	Waiting   string // one whose link is under way; empty: none
	Full      bool   // there are as many as there may be
	Email     string // as typed
	Sent      bool
	Done      bool
	Dev       bool // there is /dev/inbox
}

// Mailbox is one of them, counted from one.
type Mailbox struct {
	N         int
	ID, Email string
	Primary   bool
}

// NewAddress is where the mail to it leads.
type NewAddress struct {
	Base
	Person Person
	Email  string
}

// Recovery shows what helps the account back.
type Recovery struct {
	Base
	Address  string // the recovery address; empty: none
	Waiting  string // another one, whose link is under way; empty: none
	Set      string // the question that is asked; empty: none
	Email    string // as typed
	Question string // as typed
	Sent     bool
	Done     bool
	Dev      bool // there is /dev/inbox
}

// NewRecovery is where the mail to a recovery address leads.
type NewRecovery struct {
	Base
	Person Person
	Email  string
}

// Close asks whether the account is to go.
type Close struct {
	Base
	Person Person
}

// Data has a file made of what is known of the person.
type Data struct {
	Base
	Person Person
	Asked  time.Time // zero: there is no file
	Making bool      // it is not ready yet
	Until  time.Time // it can be downloaded
	Dev    bool      // there is /dev/inbox
}

// DataFile is where the mail about it leads.
type DataFile struct {
	Base
	Person      Person
	Made, Until time.Time
}

// Security shows where the person is signed in.
type Security struct {
	Base
	Person    Person
	Browsers  []Browser
	Requested time.Time // since when somebody else asks for the account; zero: nobody does
}

// Browser is one of them.
type Browser struct {
	ID      string
	Name    string // of the program; empty: unknown
	System  string
	Network string
	Since   time.Time
	Last    time.Time
	This    bool
}

// Sites shows what the person has given to whom.
type Sites struct {
	Base
	Sites []SiteUse
	Done  bool
}

// SiteUse is one site's.
type SiteUse struct {
	ID, Name, Host string
	Keys           []string // message keys of what it gets
	Since, Last    time.Time
	Held           bool // something can be taken back
}

// Activity tells what has happened with the account.
type Activity struct {
	Base
	Entries []Entry
	Older   string // where the older ones are; empty: there are none
}

// Entry is one event.
type Entry struct {
	Key          string // of the message
	At           time.Time
	Site         string
	Name, System string // of the browser
	Network      string
}

// Profile is "General information".
type Profile struct {
	Base
	Person   Person
	Full     string
	Nameless bool // the name may be left empty
	Language string
	Text     map[string]string // the other claims, by name
	Zones    []Zones
	Picture  string // where it is, on this server; empty: none is here
	Pictured bool   // there is one, here or elsewhere
	Saved    bool
}

// Zones are time zones of one part of the world.
type Zones struct {
	Part  string
	Names []string
}

// Want tells whether the name is required.
func (p *Profile) Want() string {
	if p.Nameless {
		return "optional"
	}
	return "required"
}

// Claim is the input of a claim that may be left empty, from pairs: see Base.Input.
func (p *Profile) Claim(name string, pairs ...string) (Input, error) {
	in, err := p.Input(pairs...)
	in.ID, in.Field, in.Value = "profile-"+strings.ReplaceAll(name, "_", "-"), name, p.Text[name]
	in.Optional, in.Unsaid = true, true
	return in, err
}

// Born is the kind of the field for the date of birth: a browser's date field shows nothing but a whole date, and what it
// does not show it would take away.
func (p *Profile) Born() string {
	born := p.Text["birthdate"]
	if day, err := time.Parse(time.DateOnly, born); born != "" && (err != nil || day.Year() < 1) {
		return "text"
	}
	return "date"
}

func (*Address) Name() string     { return "address" }
func (*NewAddress) Name() string  { return "new_address" }
func (*Recovery) Name() string    { return "recovery" }
func (*NewRecovery) Name() string { return "new_recovery" }
func (*Close) Name() string       { return "close" }
func (*Data) Name() string        { return "data" }
func (*DataFile) Name() string    { return "data_file" }
func (*Security) Name() string    { return "security" }
func (*Sites) Name() string       { return "sites" }
func (*Activity) Name() string    { return "activity" }
func (*Password) Name() string    { return "password" }
func (*Profile) Name() string     { return "profile" }
