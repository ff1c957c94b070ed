//go:build e2e && enumeration

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage/storagetest"
)

// What is compared. Told apart are two kinds of address whose medians differ by more than tellable, and not by chance. Less
// than that no stranger can measure within the budgets of a network and of an address, over a wire whose own times vary by
// more.
const (
	tellable  = 500 * time.Microsecond
	byChance  = 0.001
	addresses = 150             // of each kind: each is used once a form
	timeLimit = 2 * time.Minute // for a form: fewer are measured where the machine is slow
)

// enumerationKinds are what can be true of an address; make is how it comes to be.
var enumerationKinds = []struct {
	name string
	make func(ctx context.Context, d *account.Directory, email string) error
}{
	{"known", create},
	{"unknown", func(context.Context, *account.Directory, string) error { return nil }},
	{"unconfirmed", func(ctx context.Context, d *account.Directory, email string) error {
		flow := sha256.Sum256([]byte(email))
		_, err := d.Register(ctx, account.Registration{FormID: uuid.NewString(), Email: email, TermsEmail: email, Name: "Ada",
			Password: "a good long passphrase", FlowHash: flow[:], Language: "en", IP: netip.MustParseAddr("127.0.0.1")})
		return err
	}},
	{"closed", func(ctx context.Context, d *account.Directory, email string) error {
		if err := create(ctx, d, email); err != nil {
			return err
		}
		a, err := d.Show(ctx, email)
		if err != nil {
			return err
		}
		return d.Close(ctx, a.ID, email)
	}},
	{"disabled", func(ctx context.Context, d *account.Directory, email string) error {
		if err := create(ctx, d, email); err != nil {
			return err
		}
		_, err := d.Disable(ctx, email)
		return err
	}},
}

func create(ctx context.Context, d *account.Directory, email string) error {
	_, err := d.Create(ctx, account.NewAccount{Email: email, Password: "a good long passphrase", Name: "Ada", Confirmed: true})
	return err
}

// enumerationForms are the forms that take somebody's address, in the order in which they are sent: registering comes last,
// for after it an address is not what it was.
var enumerationForms = []struct {
	name, page, submit string
	before             func(p *person, email string) // what is not measured
	fields             func(p *person, email string) url.Values
}{
	{name: "sign-in, wrong password", page: "/login", submit: "login-submit", fields: func(_ *person, email string) url.Values {
		return url.Values{"username": {email}, "password": {"not this one"}}
	}},
	{name: "recovery", page: "/recover", submit: "recover-submit", fields: func(_ *person, email string) url.Values { return url.Values{"email": {email}} }},
	{name: "look-up", page: "/lookup", submit: "lookup-submit", fields: func(_ *person, email string) url.Values { return url.Values{"email": {email}} }},
	{name: "registration", page: "/register", submit: "register-submit",
		before: func(p *person, email string) {
			p.get(must(p.URL.Parse("/register")).String()).submit("register-submit", map[string]string{
				"register-email": email, "register-password": "a good long passphrase", "register-name": "Ada"})
		},
		fields: func(_ *person, email string) url.Values { return url.Values{"terms-email": {email}} }},
}

// TestEnumerationTimes is `make enumeration`: it measures how long the server, as it is released, takes to answer about
// addresses of each kind, in random order, and writes what it found to deploy/enumeration/RESULTS.md.
func TestEnumerationTimes(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "passport")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report strings.Builder
	commit := strings.TrimSpace(string(must(exec.Command("git", "rev-parse", "--short", "HEAD").Output())))
	fmt.Fprintf(&report, "# How long answers take, by what is true of the address\n\nWritten by `make enumeration`: %s, commit %s, %d processors, %s.\n\n"+
		"Each form is sent once with each address, in random order, one after the other. A difference is told apart when the\n"+
		"medians are more than %d µs from those of a known address and that is not by chance (Mann–Whitney, p < %v); its 95 %% interval comes from\n"+
		"1000 resamplings.\n", time.Now().UTC().Format(time.DateOnly), commit, runtime.NumCPU(), runtime.Version(), tellable.Microseconds(), byChance)
	databases := map[string]string{"SQLite": ""}
	if storagetest.Databases() != "sqlite" {
		databases["PostgreSQL"] = storagetest.Postgres(t)
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range databases {
			if !yield(name) {
				return
			}
		}
	}) {
		w := newWorld(t, databases[name], false)
		w.binary = binary
		emails := w.people()
		w.start()
		fmt.Fprintf(&report, "\n## %s\n\n| form | address | n | median, µs | difference, µs | 95 %% of it | p | told apart |\n|---|---|--:|--:|--:|--:|--:|---|\n", name)
		for _, f := range enumerationForms {
			p := w.person().get(w.issuer + f.page)
			times := map[string][]float64{}
			began := time.Now()
			for _, at := range rand.Perm(addresses * len(enumerationKinds)) {
				if time.Since(began) > timeLimit {
					break
				}
				kind, email := enumerationKinds[at%len(enumerationKinds)].name, emails[at%len(enumerationKinds)][at/len(enumerationKinds)]
				submit := f.submit
				if f.before != nil {
					f.before(p, email)
					submit = "terms-submit"
				}
				times[kind] = append(times[kind], p.timed(submit, f.fields(p, email)))
			}
			known := times["known"]
			for _, kind := range enumerationKinds {
				list := times[kind.name]
				fmt.Fprintf(&report, "| %s | %s | %d | %.0f |", f.name, kind.name, len(list), median(list))
				if kind.name == "known" {
					fmt.Fprint(&report, " | | | |\n")
					continue
				}
				difference, chance := median(list)-median(known), mannWhitney(list, known)
				low, high := interval(list, known)
				verdict := "no"
				if math.Abs(difference) > float64(tellable.Microseconds()) && chance < byChance {
					verdict = "**yes**"
					t.Errorf("%s, %s: a %s address takes %.0f µs longer than a known one", name, f.name, kind.name, difference)
				}
				fmt.Fprintf(&report, " %+.0f | %+.0f … %+.0f | %.3f | %s |\n", difference, low, high, chance, verdict)
			}
		}
		w.stop()
	}
	t.Log(report.String())
	check(os.WriteFile(filepath.Join("..", "..", "deploy", "enumeration", "RESULTS.md"), []byte(report.String()), 0o644))
}

// people makes the accounts, with the server's own rooms, and gives their addresses, by kind.
func (w *world) people() [][]string {
	w.t.Helper()
	go func() {
		for range w.smtp.arrived { // nobody reads these mails
		}
	}()
	cfg := must(config.Load(config.Sources{Environ: w.env}))
	check(prepare(cfg))
	ctx := context.Background()
	a := must(newApp(ctx, cfg, slog.New(slog.DiscardHandler)))
	defer a.close()
	all := make([][]string, len(enumerationKinds))
	for i, kind := range enumerationKinds {
		for n := range addresses {
			email := fmt.Sprintf("a%d%06d@example.test", i, n)
			check(kind.make(ctx, a.accounts, email))
			all[i] = append(all[i], email)
		}
	}
	return all
}

// timed sends the form of the page, and gives the µs until the whole answer was there. It follows no redirect.
func (p *person) timed(submit string, fields url.Values) float64 {
	p.t.Helper()
	form := p.byID(submit)
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil {
		p.t.Fatalf("no #%s at %s (%d)\n%s", submit, p.URL, p.Status, p.Body)
	}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	target := must(p.URL.Parse(attr(form, "action")))
	req := must(http.NewRequest("POST", target.String(), strings.NewReader(fields.Encode())))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for k, v := range p.jar {
		if name, ok := strings.CutPrefix(k, target.Hostname()+" "); ok {
			req.AddCookie(&http.Cookie{Name: name, Value: v})
		}
	}
	began := time.Now()
	res := must(p.client.Do(req))
	_ = must(io.Copy(io.Discard, res.Body))
	took := time.Since(began)
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusUnprocessableEntity {
		p.t.Fatalf("%s: %d", target.Path, res.StatusCode)
	}
	return float64(took.Nanoseconds()) / 1000
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// interval is where 95 % of the differences of medians of resampled times lie.
func interval(a, b []float64) (low, high float64) {
	again := func(list []float64) float64 {
		out := make([]float64, len(list))
		for i := range out {
			out[i] = list[rand.IntN(len(list))]
		}
		return median(out)
	}
	differences := make([]float64, 1000)
	for i := range differences {
		differences[i] = again(a) - again(b)
	}
	slices.Sort(differences)
	return differences[25], differences[974]
}

// mannWhitney is the probability that two samples of one population differ in rank as much as these (two-sided, by the
// normal approximation: with as many as here it is exact enough).
func mannWhitney(a, b []float64) float64 {
	type one struct {
		v     float64
		first bool
	}
	var all []one
	for _, v := range a {
		all = append(all, one{v, true})
	}
	for _, v := range b {
		all = append(all, one{v, false})
	}
	slices.SortFunc(all, func(x, y one) int { return int(math.Copysign(1, x.v-y.v)) })
	ranks := 0.0
	for i, o := range all {
		if o.first {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	z := (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(math.Abs(z) / math.Sqrt2)
}

// TestStatistics proves that the command would see a difference: of 2 ms it is told, of none it is not.
func TestStatistics(t *testing.T) {
	sample := func(at float64) (list []float64) {
		for range 300 {
			list = append(list, at+rand.NormFloat64()*800)
		}
		return list
	}
	known := sample(50_000)
	if p := mannWhitney(sample(52_000), known); p > byChance {
		t.Errorf("2 ms: p = %v", p)
	}
	if p := mannWhitney(known, slices.Clone(known)); p < 0.5 {
		t.Errorf("nothing: p = %s", strconv.FormatFloat(p, 'g', 3, 64))
	}
	if low, high := interval(sample(52_000), known); low < 1000 || high > 3000 {
		t.Errorf("2 ms: %v to %v", low, high)
	}
}
