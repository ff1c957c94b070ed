package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/fault"
)

// Bounds of a request (D1). Headers are bounded by the server (32 KiB).
const (
	maxURL  = 16 << 10
	maxBody = 64 << 10
	// maxUpload is the body of the one form that sends a file: the largest, and what surrounds it.
	maxUpload = account.MaxPicture + maxBody

	// maxTime is how long a request may work, the wait for a connection of the database's pool included (D9): who
	// waits longer is answered 503, and holds nothing up.
	maxTime = 10 * time.Second
)

// Handler is the whole public server. In order: the notes on the request, the log line, panics, the URL's size, our
// own host; then the route with its headers, CORS, the body's size and encoding, and the check of forms.
func (s *Site) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.cfg.Now()
		r, q := newRequest(r.WithContext(fault.Request(r.Context())), s.cfg.TrustedProxies)
		rec := &recorder{ResponseWriter: w}
		defer s.log(rec, r, q, began)
		defer s.rescue(rec, r, q)
		q.route, q.kind = "refused", Own
		setHeaders(rec.Header(), Own, q.nonce, s.https)
		if err := s.admit(r); err != nil {
			s.answer(rec, r, err)
			return
		}
		s.router.ServeHTTP(rec, r)
		fault.Point("web.answer")
	})
}

// admit refuses what no route may see.
func (s *Site) admit(r *http.Request) error {
	switch {
	case len(r.RequestURI) > maxURL:
		return &Error{Status: http.StatusRequestURITooLong, Key: "request_too_large"}
	case !sameHost(r.Host, s.host, s.https):
		// A4: nothing we say depends on the Host header, and another's is not answered.
		return &Error{Status: http.StatusMisdirectedRequest, Key: "host"}
	}
	return nil
}

// readBody refuses what no handler may unpack or read.
func readBody(w http.ResponseWriter, r *http.Request, upload bool) error {
	switch {
	case r.Header.Get("Content-Encoding") != "":
		return &Error{Status: http.StatusUnsupportedMediaType, Key: "type"} // D7: a small bomb unpacks to a large one
	case upload:
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		return nil
	case r.ContentLength > maxBody:
		return &Error{Status: http.StatusRequestEntityTooLarge, Key: "request_too_large"}
	case r.Body == nil || r.Body == http.NoBody:
		return nil
	}
	// Read before any handler runs: a body without a length must not be cut in the middle of a parse.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return unread(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	of(r).body = body
	return nil
}

func sameHost(host, ours string, https bool) bool {
	port := ":80"
	if https {
		port = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(host, port), strings.TrimSuffix(ours, port))
}

// dispatch tells the methods of one path apart.
func (s *Site) dispatch(methods map[string]Route) http.Handler {
	var allow []string
	var any Route
	for m, r := range methods {
		allow, any = append(allow, m), r
		if m == http.MethodGet && methods[http.MethodHead].Handler == nil {
			allow = append(allow, http.MethodHead)
		}
	}
	sort.Strings(allow)
	allow = slices.Compact(allow)
	refused := any
	refused.Handler = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return &Error{Status: http.StatusMethodNotAllowed, Key: "method"}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, ok := methods[r.Method]
		if !ok && r.Method == http.MethodHead {
			route, ok = methods[http.MethodGet]
		}
		if !ok && r.Method == http.MethodOptions && any.CORS != NoCORS {
			route, ok = any, true
			route.Handler = s.preflight(any, allow)
		}
		if !ok {
			route = refused
		}
		s.serve(route).ServeHTTP(w, r)
	})
}

// serve runs one route.
func (s *Site) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, done := context.WithTimeout(r.Context(), maxTime)
		defer done()
		r = r.WithContext(ctx)
		q := of(r)
		q.route, q.kind = route.Name, route.Kind
		h := w.Header()
		ends := h["Connection"] // a server that stops asks for the connection's end
		clear(h)
		setHeaders(h, route.Kind, q.nonce, s.https)
		if ends != nil {
			h["Connection"] = ends
		}
		err := readBody(w, r, route.Upload)
		s.cors(h, r, route)
		if err != nil {
			s.answer(w, r, err)
			return
		}
		if !route.Protocol {
			// B1, B4: Sec-Fetch-Site, else Origin against Host. GET and HEAD always pass; they change nothing.
			if err := s.forms.Check(r); err != nil {
				s.answer(w, r, &Error{Status: http.StatusForbidden, Key: "form", Cause: err})
				return
			}
		}
		if route.Even {
			e := newEven(w, r)
			defer e.wait()
			w = e
		}
		if err := route.Handler(w, r); err != nil {
			s.answer(w, r, err)
		}
	})
}

// cors lets other origins read what is meant for them, never with credentials (RFC 9700 §2.6).
func (s *Site) cors(h http.Header, r *http.Request, route Route) {
	switch route.CORS {
	case AnyOrigin:
		h.Set("Access-Control-Allow-Origin", "*")
	case SiteOrigin:
		h.Add("Vary", "Origin")
		if origin := s.allowedOrigin(r); origin != "" {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
	}
}

// allowedOrigin is the request's Origin when a site registered it; two Origin headers are none. A preflight
// cannot name the client, so any client's origin passes; the request itself names one, whose own it must be.
// Of userinfo only the token names the client: that endpoint takes the header back where it must.
func (s *Site) allowedOrigin(r *http.Request) string {
	origins := r.Header.Values("Origin")
	if len(origins) != 1 || !s.cfg.Clients.AllowsOrigin(origins[0]) {
		return ""
	}
	if id := clientID(r); r.Method != http.MethodOptions && id != "" {
		c, err := s.cfg.Clients.Get(r.Context(), id)
		if err != nil || !c.AllowsOrigin(origins[0]) {
			return ""
		}
	}
	return origins[0]
}

func (s *Site) preflight(route Route, allow []string) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		if h.Get("Access-Control-Allow-Origin") != "" {
			h.Set("Access-Control-Allow-Methods", strings.Join(allow, ", "))
			if route.CORS == SiteOrigin {
				h.Set("Access-Control-Allow-Headers", "authorization, content-type, dpop")
			}
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// answer writes the answer to an error, by the kind of the route, and logs what is our own fault.
func (s *Site) answer(w http.ResponseWriter, r *http.Request, err error) {
	q := of(r)
	e := explain(r.Context(), err)
	if e.Status >= http.StatusInternalServerError {
		s.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "failed",
			slog.String("id", q.id), slog.String("route", q.route), slog.String("error", err.Error()))
	}
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		return // the answer is under way: nothing can be said any more
	}
	if q.kind.Page() {
		s.pages.fail(w, r, e)
		return
	}
	SetRetry(w.Header(), e.Retry)
	w.Header().Set("Cache-Control", "no-store")
	code := "invalid_request"
	switch {
	case e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests:
		code = "temporarily_unavailable"
	case e.Status >= http.StatusInternalServerError:
		code = "server_error"
	}
	noteReason(w, e.Key)
	writeJSON(w, e.Status, map[string]string{"error": code})
}

// rescue turns a panic into the page of an internal error: no stack reaches the person.
func (s *Site) rescue(w *recorder, r *http.Request, q *request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("id", q.id),
		slog.String("route", q.route), slog.String("stack", string(debug.Stack())))
	if w.status == 0 {
		s.answer(w, r, &Error{Status: http.StatusInternalServerError, Key: "internal"})
	}
}

// log writes the one line of a request: no query, no address of a person, no token.
func (s *Site) log(w *recorder, r *http.Request, q *request, began time.Time) {
	elapsed := s.cfg.Now().Sub(began)
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	outcome := "ok"
	switch {
	case status >= 500:
		outcome = "failed"
	case status >= 400:
		outcome = "refused"
	case status >= 300:
		outcome = "redirected"
	}
	client := q.client
	if client == "" && status < 400 && !q.kind.forPeople() {
		client = s.clientOf(r)
	}
	s.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("id", q.id), slog.String("route", q.route), slog.String("method", method(r.Method)),
		slog.Int("status", status), slog.Float64("ms", float64(elapsed.Microseconds())/1000),
		slog.String("client", client), slog.String("outcome", outcome), slog.String("reason", w.reason))
	if s.cfg.Observe != nil {
		s.cfg.Observe(q.route, method(r.Method), status, elapsed)
	}
}

// clientOf names the client of an answered protocol request, if it is a registered one: what strangers send
// as client_id is not written into the log.
func (s *Site) clientOf(r *http.Request) string {
	id := clientID(r)
	if id == "" {
		return ""
	}
	if _, err := s.cfg.Clients.Get(r.Context(), id); err != nil {
		return ""
	}
	return id
}

// clientID is what a protocol request says its client is; nothing is proven by it.
func clientID(r *http.Request) string {
	form, _ := url.ParseQuery(string(of(r).body)) // what does not parse names nobody
	id := form.Get("client_id")
	if id == "" {
		id = r.URL.Query().Get("client_id")
	}
	if user, _, ok := r.BasicAuth(); ok && id == "" {
		id, _ = url.QueryUnescape(user)
	}
	if len(id) > maxID || !clean(id) {
		return ""
	}
	return id
}

func (k Kind) forPeople() bool { return k != API && k != Redirect }

// method keeps a stranger's invented method out of the log and the metrics.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "other"
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
	reason string
}

// NoteReason is told why a request is refused, for the log: words of ours alone, nothing of what was sent.
func (w *recorder) NoteReason(reason string) { w.reason = reason }

// noteReason tells a recorder. oidc and oidc/registration, which do not know the shell, do the same.
func noteReason(w http.ResponseWriter, reason string) {
	if to, ok := w.(interface{ NoteReason(reason string) }); ok {
		to.NoteReason(reason)
	}
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
