package account

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

const (
	// RequestWait is how long the addresses of an account have to stop a request before the operator may approve it.
	RequestWait = 7 * 24 * time.Hour
	// RequestLifetime is how long a request waits for the operator; who asked is told then that nothing came of it.
	RequestLifetime = 30 * 24 * time.Hour

	// RequestNotices is how often the addresses of an account are told of a request.
	RequestNotices = 3

	requestKept = 2 * RequestLifetime // for the operator to look at; then it is purged
	maxSites    = 5
	maxNote     = 500 // code points

	purposeStop   = "stop"
	purposeRegain = "regain"
)

// notices are when the addresses of an account are told of a request, counted from its beginning.
var notices = [RequestNotices]time.Duration{0, 3 * 24 * time.Hour, 6 * 24 * time.Hour}

// States of a request.
const (
	RequestAsked    = "asked"    // the address to reach them at is not proven
	RequestOpen     = "open"     // waits for the operator
	RequestJoined   = "joined"   // another one was open, in whose place it can be approved, or there were too many of late
	RequestStopped  = "stopped"  // by the account's owner
	RequestApproved = "approved" // by the operator; the link is under way
	RequestDenied   = "denied"   // by the operator
	RequestDone     = "done"     // the account is theirs
	RequestOver     = "over"     // nobody decided
)

// What the operator sees of a thing that somebody says they know. Empty: they said nothing of it.
const (
	Match   = "match"
	NoMatch = "no match"
)

var (
	// ErrEarly: a request is approved before its time is over, or before all notices went out.
	ErrEarly = errors.New("the account's addresses have not had their time")
	// ErrDecided: a request is not open any more.
	ErrDecided = errors.New("the request is not open")
)

// Request is of somebody who can read none of an account's mail. Of what they know, only whether it is right is kept.
type Request struct {
	ID                       string
	AccountID                string // empty: no account that can be used has the address that was typed
	State                    string
	Hash                     []byte // SHA-256 of the token that proves the address
	Email, Canonical         string // where to reach them
	Language                 string
	Birthdate, Phone, Answer string // Match, NoMatch, or empty
	Sites, SitesRight        int64  // given, and of these right
	Note                     []byte // to the operator, sealed
	Others                   int64  // who have joined it
	Notices                  int64  // rounds of mails to the account's addresses
	CreatedAt, OpenedAt      time.Time
	DecidedAt, ExpiresAt     time.Time
}

// RequestStart is somebody who says that an account is theirs, and where mail reaches them now.
type RequestStart struct {
	Account, Reach string
	Language       string
	IP             netip.Addr
	Human          Human
}

// AskRequest mails a link to the address at which they can be reached: a request costs a mail box. An address that no account
// has is answered alike, after the same work. Errors: *FieldError ("request-account", "request-reach"), ErrLimited (of the
// network), ErrHuman, ErrHumanDown.
func (d *Directory) AskRequest(ctx context.Context, s RequestStart) error {
	_, canonical, err := parseField("request-account", s.Account)
	if err != nil {
		return err
	}
	send, reach, err := parseField("request-reach", s.Reach)
	if err != nil {
		return err
	}
	switch {
	case reach == canonical:
		return &FieldError{Field: "request-reach", Key: "request.same"}
	case !d.door.lets(reach): // it is to be the account's
		return &FieldError{Field: "request-reach", Key: "error.email.domain"}
	}
	if err := d.letMail(ctx, s.IP, s.Human); err != nil {
		return err
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	token, now := newToken(), d.now()
	r := Request{ID: newID(), State: RequestAsked, Hash: hashToken(token), Email: send, Canonical: reach,
		Language: languageOf(s.Language), CreatedAt: now, ExpiresAt: now.Add(AddressLifetime)}
	if owner.State == Active {
		r.AccountID = owner.ID
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		// By what was typed, never by the account: who asks reads the mail to reach, and would learn from a budget that two
		// addresses share whose they are (I17).
		if err := d.limits.Take(ctx, limit.RecoveryRequest, mailBox(canonical), mailBox(reach)); err != nil {
			return err
		}
		if err := d.limits.Take(ctx, limit.RecoveryRequests, mailBox(canonical)); err != nil {
			return err
		}
		if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, reach); err != nil {
			return err
		}
		if err := d.store.InsertRequest(ctx, r); err != nil {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: send, Language: r.Language, Template: "reach", Data: map[string]string{"request": token}})
	})
	if err != nil && !errors.Is(err, ErrLimited) { // A22: the answer stays as it is
		return fmt.Errorf("ask for a recovery by the operator: %w", err)
	}
	return nil
}

// ReadRequest shows the link of that mail; it changes nothing. ErrLink; ErrDomain: the address may not be used any more.
func (d *Directory) ReadRequest(ctx context.Context, token string) (*LinkView, error) {
	r, err := d.readRequest(ctx, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: r.Email, Language: r.Language}, nil
}

func (d *Directory) readRequest(ctx context.Context, token string) (Request, error) {
	if !plausibleToken(token) {
		return Request{}, ErrLink
	}
	r, err := d.store.AskedRequest(ctx, hashToken(token), d.now())
	switch {
	case errors.Is(err, ErrNotFound):
		return Request{}, ErrLink
	case err != nil:
		return Request{}, fmt.Errorf("read a request: %w", err)
	case !d.door.lets(r.Canonical): // it was when the mail went
		return Request{}, ErrDomain
	}
	return r, nil
}

// Knowledge is what somebody says they know of an account; each may be empty.
type Knowledge struct {
	Birthdate, Phone, Answer string
	Sites                    string // names or hosts, with commas between
	Note                     string // to the operator
}

// OpenRequest proves the address to reach them at, and compares what they know with the account: only whether it matches is
// kept. The request waits from now on; a second one for the account joins the first, and is answered alike.
// Errors: ErrLink, ErrDomain, *FieldError ("request-birthdate", "request-phone", "request-sites", "request-note"), ErrBusy.
func (d *Directory) OpenRequest(ctx context.Context, token string, k Knowledge) error {
	r, err := d.readRequest(ctx, token)
	if err != nil {
		return err
	}
	sites, err := d.checkKnowledge(&k)
	if err != nil {
		return err
	}
	if err := d.compare(ctx, &r, k, sites); err != nil {
		return err
	}
	if k.Note != "" {
		if r.Note, err = d.sealer.Seal("recovery_request", "note", r.ID, []byte(k.Note)); err != nil {
			return fmt.Errorf("seal a note: %w", err)
		}
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if _, err := d.store.LockAccount(ctx, r.AccountID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		joined, err := d.store.JoinRequest(ctx, r.AccountID)
		if err != nil {
			return err
		}
		if !joined { // A22: of all of the account's addresses together
			err := d.limits.Take(ctx, limit.RecoveryRequest, cmp.Or(r.AccountID, r.ID))
			if joined = errors.Is(err, ErrLimited); err != nil && !joined {
				return err
			}
		}
		r.State, r.OpenedAt = RequestOpen, d.now()
		if joined {
			r.State = RequestJoined
		}
		r.ExpiresAt = r.OpenedAt.Add(requestKept)
		if err := d.store.OpenRequest(ctx, r); err != nil {
			return err
		}
		err = d.audit.Record(ctx, audit.Event{Event: audit.RequestOpened, ActorKind: audit.ActorAnonymous, Subject: r.AccountID, At: r.OpenedAt})
		if err != nil {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: r.Email, Language: r.Language, Template: "received"})
	})
	if errors.Is(err, ErrGone) {
		return ErrLink
	} else if err != nil {
		return fmt.Errorf("open a request: %w", err)
	}
	return nil
}

// checkKnowledge brings what was typed into the form in which it is compared. *FieldError.
func (d *Directory) checkKnowledge(k *Knowledge) (sites []string, err error) {
	if k.Birthdate, err = d.checkBirthDate("request-birthdate", k.Birthdate); err != nil {
		return nil, err
	}
	if k.Phone, err = checkPhone("request-phone", k.Phone); err != nil {
		return nil, err
	}
	if k.Note = strings.TrimSpace(k.Note); !utf8.ValidString(k.Note) || utf8.RuneCountInString(k.Note) > maxNote {
		return nil, &FieldError{Field: "request-note", Key: "request.note.long"}
	}
	for site := range strings.SplitSeq(k.Sites, ",") {
		if site = normalSite(site); site != "" && !slices.Contains(sites, site) {
			sites = append(sites, site)
		}
	}
	if len(sites) > maxSites { // else a list of all sites would be right
		return nil, &FieldError{Field: "request-sites", Key: "request.sites.many"}
	}
	return sites, nil
}

// normalSite is a site's name or host as it is compared; of an address that was copied from a browser the host counts.
func normalSite(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if _, rest, copied := strings.Cut(s, "://"); copied {
		s, _, _ = strings.Cut(rest, "/")
	}
	s, _ = normalAnswer(strings.TrimPrefix(s, "www."))
	return s
}

// compare does the same work for an account and for none.
func (d *Directory) compare(ctx context.Context, r *Request, k Knowledge, sites []string) error {
	rec, err := d.store.ByID(ctx, r.AccountID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read an account: %w", err)
	}
	backup, err := d.store.Recovery(ctx, r.AccountID)
	if err != nil {
		return fmt.Errorf("read a recovery question: %w", err)
	}
	used, err := d.store.SitesOf(ctx, r.AccountID)
	if err != nil {
		return fmt.Errorf("read the sites of an account: %w", err)
	}
	var claims struct {
		Phone     string `json:"phone_number"`
		Birthdate string `json:"birthdate"`
	}
	_ = json.Unmarshal(rec.Claims, &claims) // of no account: nothing matches
	phone, _ := checkPhone("", claims.Phone)
	r.Birthdate, r.Phone = matches(k.Birthdate, claims.Birthdate), matches(k.Phone, phone)
	if k.Answer != "" {
		answer, _ := normalAnswer(k.Answer)
		fits, err := d.hasher.verify(ctx, answer, backup.Answer)
		if err != nil {
			return err
		}
		r.Answer = NoMatch
		if fits >= 0 {
			r.Answer = Match
		}
	}
	for _, site := range sites {
		r.Sites++
		if slices.ContainsFunc(used, func(name string) bool { return normalSite(name) == site }) {
			r.SitesRight++
		}
	}
	return nil
}

func matches(said, is string) string {
	switch said {
	case "":
		return ""
	case is:
		return Match
	}
	return NoMatch
}

// TellRequests sends the notices that are due, and tells who asked in vain. Every replica calls it: each is sent once.
func (d *Directory) TellRequests(ctx context.Context) error {
	now := d.now()
	for n, after := range notices {
		due, err := d.store.RequestsBefore(ctx, now.Add(-after), n, RequestOpen)
		if err != nil {
			return fmt.Errorf("read requests: %w", err)
		}
		for _, r := range due {
			if err := d.tellRequest(ctx, r); err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("tell of a request: %w", err)
			}
		}
	}
	over, err := d.store.RequestsBefore(ctx, now.Add(-RequestLifetime), -1, RequestOpen, RequestJoined, RequestStopped)
	if err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	late, err := d.store.RequestsBefore(ctx, now.Add(-RequestLifetime-AlarmLifetime), -1, RequestApproved) // the link is over too
	if err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	for _, r := range append(over, late...) {
		err := d.store.InTx(ctx, func(ctx context.Context) error {
			if err := d.store.MoveRequest(ctx, r.ID, r.State, RequestOver, now); err != nil {
				return err
			}
			return d.mail.Send(ctx, mail.Message{To: r.Email, Language: r.Language, Template: "denied"})
		})
		if err != nil && !errors.Is(err, ErrGone) {
			return fmt.Errorf("end a request: %w", err)
		}
	}
	return nil
}

// tellRequest tells every address of the account, each with a link that stops the request. ErrGone: another replica did.
func (d *Directory) tellRequest(ctx context.Context, r Request) error {
	return d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.store.LockAccount(ctx, r.AccountID)
		if err != nil {
			return err
		}
		now := d.now()
		if early, err := d.toldOfLate(ctx, r, now); err != nil || early {
			return err
		}
		if err := d.store.CountNotice(ctx, r.ID, r.Notices); err != nil {
			return err
		}
		all, err := d.store.Addresses(ctx, rec.ID)
		if err != nil {
			return err
		}
		backup, err := d.store.Recovery(ctx, rec.ID)
		if err != nil {
			return err
		}
		if a := backup.address(); a.Email != "" {
			all = append(all, a)
		}
		for _, a := range all {
			token := newToken()
			l := Link{Purpose: purposeStop, Hash: hashToken(token), Email: a.Email, Canonical: a.Canonical}
			if err := d.store.AddLink(ctx, rec.ID, l, now, now.Add(RequestLifetime)); err != nil {
				return err
			}
			msg := mail.Message{To: a.Email, Name: rec.Name, Language: rec.Language, Template: "requested", Data: map[string]string{"stop": token}}
			if err := d.mail.Send(ctx, msg); err != nil {
				return err
			}
		}
		return nil
	})
}

// toldOfLate tells whether the round of notices before this one is too young: where nobody could send any for a week, the
// addresses must not have all of them at once, and no time.
func (d *Directory) toldOfLate(ctx context.Context, r Request, now time.Time) (bool, error) {
	if r.Notices == 0 {
		return false, nil
	}
	last, err := d.store.Waiting(ctx, r.AccountID, purposeStop, now)
	if errors.Is(err, ErrNotFound) { // their links were dropped
		return false, nil
	}
	return last.CreatedAt.After(now.Add(notices[r.Notices-1] - notices[r.Notices])), err
}

// ReadStop shows the link by which a request is stopped; it changes nothing. ErrLink.
func (d *Directory) ReadStop(ctx context.Context, token string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeStop, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// Stop ends the requests for the account. ErrLink.
func (d *Directory) Stop(ctx context.Context, token string) error {
	_, err := d.spend(ctx, purposeStop, token, func(ctx context.Context, rec Record, _ Link, now time.Time) error {
		return d.stopRequests(ctx, rec.ID, now)
	})
	return err
}

// StopRequest ends them at the wish of who is signed in. ErrNotFound.
func (d *Directory) StopRequest(ctx context.Context, accountID string) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	return d.store.InTx(ctx, func(ctx context.Context) error { return d.stopRequests(ctx, rec.ID, d.now()) })
}

// Requested tells, for the account's owner, since when somebody else asks for it; the zero time: nobody does.
func (d *Directory) Requested(ctx context.Context, accountID string) (time.Time, error) {
	r, err := d.store.RequestOf(ctx, accountID)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return r.OpenedAt, err
}

// stopRequests ends a request that is open, or approved and not yet followed, with those that have joined it, in the transaction of ctx: whoever has the
// password, or the mail, has not lost the account.
func (d *Directory) stopRequests(ctx context.Context, accountID string, now time.Time) error {
	stopped, err := d.store.StopRequests(ctx, accountID, now)
	if err != nil || !stopped {
		return err
	}
	if err := d.store.DropLinks(ctx, accountID, time.Time{}, purposeStop, purposeRegain); err != nil {
		return err
	}
	return d.audit.Record(ctx, audit.Event{Event: audit.RequestStopped, ActorKind: audit.ActorAccount, ActorID: accountID, Subject: accountID, At: now})
}
