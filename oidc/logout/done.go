package logout

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

const (
	donePath = "/logout/done"
	doneLife = 10 * time.Minute
	// again is how often the page asks by itself what has become of the sites that were not reached yet.
	again = 10
)

// State is how far a site has been told that somebody signed out, in the words of the page.
type State string

// The states.
const (
	SiteTold   State = "told"   // it answered our call with 2xx
	SiteAsked  State = "asked"  // its page was opened in a frame; whether it did anything nobody knows
	SiteTrying State = "trying" // it is being told
	SiteMissed State = "missed" // it could not be reached, and will be tried again
	SiteCannot State = "cannot" // it gave no way to be told, or refused
)

// least is what is said of a site at which several logins have ended: the first that is true of one of them.
var least = []State{SiteTrying, SiteMissed, SiteCannot, SiteAsked, SiteTold}

// Stay says who is still signed in in the browser that signed out.
type Stay string

// Who stays.
const (
	StayNobody Stay = ""
	StayOthers Stay = "others" // other accounts
	StaySame   Stay = "same"   // the account itself, which was signed out in other browsers
)

// Site is a site at which the person was signed in.
type Site struct {
	Name   string
	Host   string
	State  State
	frames []string // to be opened
}

// Report is what the page says after a sign-out.
type Report struct {
	Sites      []Site
	Frames     []string // addresses to be opened in frames (Front-Channel Logout §2)
	To         string   // where the browser goes afterwards; empty: it stays
	ClientName string   // whose place that is
	Again      string   // where to look once more what became of the sites; empty: nothing changes any more
	Stay       Stay
	UILocales  string
}

// done shows what became of a sign-out, in the browser that signed out.
func (l *Logout) done(w http.ResponseWriter, r *http.Request) error {
	v, err := parameters(w, r)
	if err != nil {
		return l.onPage(w, r, err)
	}
	q, ok := l.open(toShow, v.Get("i"))
	if browser := l.cfg.Sessions.FlowHash(r); !ok || browser == nil || !bytes.Equal(q.Browser, browser) {
		// Kept, or somebody else's: what it says is nobody's business, and signed out is all there is to say.
		q = request{Locales: v.Get("ui_locales")}
	}
	language, _, _ := strings.Cut(q.Locales, " ")
	sites, err := l.sites(r.Context(), q, language)
	if err != nil {
		return err
	}
	page := Report{Sites: sites, Stay: q.Stay, UILocales: q.Locales}
	c, err := l.client(r.Context(), q.Client)
	if err != nil {
		return err
	}
	if c != nil && c.MatchPostLogout(q.Redirect) {
		page.To, page.ClientName = withState(q.Redirect, q.State), c.LocalName(language)
	}
	page.looked(v.Get("i"), v.Get("n"))
	w.Header().Set("Cache-Control", "no-store")
	l.cfg.Pages.Done(w, r, page)
	return nil
}

// looked puts in what is of one look alone, by how many there were before: frames are opened at the first, and the page comes
// back as long as a site has not been told.
func (p *Report) looked(i, times string) {
	n, err := strconv.Atoi(times)
	if err != nil || n < 1 {
		n = 0
		for _, s := range p.Sites {
			p.Frames = append(p.Frames, s.frames...)
		}
	}
	if n < again && slices.ContainsFunc(p.Sites, func(s Site) bool { return s.State == SiteTrying || s.State == SiteMissed }) {
		p.Again = donePath + "?" + url.Values{"i": {i}, "n": {strconv.Itoa(n + 1)}}.Encode()
	}
}

// sites are where the logins that ended were used, with how far each has been told.
func (l *Logout) sites(ctx context.Context, q request, language string) ([]Site, error) {
	if len(q.Ended)+len(q.Far) == 0 {
		return nil, nil
	}
	visits, err := l.cfg.Store.Visits(ctx, slices.Concat(q.Ended, q.Far))
	if err != nil {
		return nil, err
	}
	var list []Site
	place := map[string]int{} // of a client in list
	for _, v := range visits {
		c, err := l.client(ctx, v.ClientID)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		i, seen := place[c.ID]
		if !seen {
			i, place[c.ID] = len(list), len(list)
			list = append(list, Site{Name: c.LocalName(language), Host: c.Host(), State: SiteTold})
		}
		// A frame reaches what this very browser has of the site: of a login in another one it would end the wrong session.
		frame := ""
		if slices.Contains(q.Ended, v.LoginID) {
			frame = l.frame(c, v)
		}
		if frame != "" && !slices.Contains(list[i].frames, frame) {
			list[i].frames = append(list[i].frames, frame)
		}
		if state := stateOf(c, v.Notice, frame != ""); slices.Index(least, state) < slices.Index(least, list[i].State) {
			list[i].State = state
		}
	}
	return list, nil
}

func stateOf(c *client.Client, notice string, front bool) State {
	switch back := c.Metadata.BackchannelLogoutURI != ""; {
	case back && notice == Told:
		return SiteTold
	case back && notice == Trying:
		return SiteMissed
	case back && notice != Failed:
		return SiteTrying
	case front:
		return SiteAsked
	}
	return SiteCannot
}

// frame is the page of a site that signs out there when it is opened: with iss and sid where the site asked for them,
// and its own query as it is (Front-Channel Logout §2).
func (l *Logout) frame(c *client.Client, v Visit) string {
	uri := c.Metadata.FrontchannelLogoutURI
	if uri == "" || !c.Metadata.FrontchannelLogoutSessionRequired {
		return uri
	}
	return client.WithQuery(uri, url.Values{"iss": {l.cfg.Issuer}, "sid": {v.SID}})
}

func framed(sites []Site) bool {
	return slices.ContainsFunc(sites, func(s Site) bool { return len(s.frames) > 0 })
}
