package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/passport-network/passport/"

const leaves = "pkg/session pkg/keys pkg/limit pkg/audit pkg/outbox pkg/outbound pkg/clock pkg/fault pkg/picture"

// may lists, for each room, the only rooms of ours that its non-test files may import.
// A room that is not here does not exist: adding one is a decision.
// storage and pkg/config are in no list but that of storage/storagetest: the wiring alone knows them.
var may = map[string]string{
	"cmd/passload": "", "cmd/passport/demo": "",
	"templates": "", "pkg/config": "",
	"pkg/clock": "", "pkg/fault": "", "pkg/picture": "",
	"pkg/session": leaves, "pkg/keys": leaves, "pkg/limit": leaves, "pkg/audit": leaves,
	"pkg/outbox": leaves, "pkg/outbound": leaves,
	"pkg/human":           leaves,
	"pkg/mail":            leaves + " templates",
	"pkg/account":         leaves + " pkg/mail",
	"oidc/client":         leaves,
	"oidc/grant":          leaves + " oidc/client",
	"oidc/engine":         leaves + " oidc/client oidc/grant",
	"oidc":                leaves + " oidc/client oidc/grant oidc/engine",
	"oidc/registration":   leaves + " oidc/client",
	"oidc/logout":         leaves + " oidc/client oidc/grant",
	"pkg/web":             leaves + " oidc oidc/client oidc/grant oidc/logout oidc/registration pkg/account pkg/mail templates",
	"pkg/web/signin":      leaves + " oidc oidc/client oidc/grant oidc/logout pkg/account pkg/human pkg/web templates",
	"pkg/web/myaccount":   leaves + " oidc oidc/client oidc/grant oidc/logout pkg/account pkg/web templates",
	"storage":             leaves + " oidc/client oidc/grant oidc/logout oidc/registration pkg/account pkg/human pkg/mail",
	"storage/storagetest": leaves + " storage oidc/client oidc/grant oidc/logout oidc/registration pkg/account pkg/mail",
}

// wiring is the one room that may import every other.
const wiring = "cmd/passport"

// only lists outside packages that one room (and rooms inside it) alone may import.
var only = map[string]string{
	"github.com/ory/": "oidc/engine",
	"gorm.io/":        "storage", "database/sql": "storage", "github.com/jackc/": "storage",
	"github.com/libtnb/": "storage", "modernc.org/": "storage",
}

// inside tells whether a room is one of those, or within one.
func inside(room string, rooms []string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return room == r || strings.HasPrefix(room, r+"/") })
}

// law says which names of a package only some rooms may use.
type law struct {
	pkg   string
	names []string
	rooms []string
	why   string
}

// Since and Until ask the machine too; so do the functions of http and tls that dial.
var laws = []law{
	{"time", []string{"Now", "Since", "Until"}, []string{"pkg/clock"}, "the time comes from pkg/clock"},
	{"net/http", []string{"Client", "DefaultClient", "Transport", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
		[]string{"pkg/outbound"}, "pkg/outbound is the one HTTP client"},
	{"net", []string{"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer"},
		[]string{"pkg/outbound", "pkg/mail", "storage"}, "only pkg/outbound, mail and the database connect"},
	{"crypto/tls", []string{"Dial", "DialWithDialer", "Dialer"},
		[]string{"pkg/outbound", "pkg/mail", "storage"}, "only pkg/outbound, mail and the database connect"},
}

// outside are programs that are clients of the server, not parts of it: the laws about names do not hold for them.
var outside = []string{"cmd/passload", "cmd/passport/demo"}

// breaches reports every law that a source file of a room breaks.
func breaches(room, name string, src any) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []string
	add := func(format string, args ...any) { found = append(found, name+": "+fmt.Sprintf(format, args...)) }
	allowed, known := may[room]
	if !known && room != wiring {
		add("the table knows no room %s", room)
	}
	packages := map[string]string{} // the name in this file → the import path
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		local := path.Base(imp)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		packages[local] = imp
		if local == "." {
			add("%s is imported with a dot: its names could not be told from ours", imp)
		}
		if dep, ours := strings.CutPrefix(imp, module); ours && room != wiring && !slices.Contains(strings.Fields(allowed), dep) {
			add("%s must not import %s", room, dep)
		}
		for prefix, owner := range only {
			if strings.HasPrefix(imp, prefix) && !inside(room, []string{owner}) {
				add("only %s may import %s", owner, imp)
			}
		}
	}
	if slices.Contains(outside, room) {
		return found, nil
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, l := range laws {
			if packages[x.Name] == l.pkg && slices.Contains(l.names, sel.Sel.Name) && !inside(room, l.rooms) {
				add("%s.%s: %s", l.pkg, sel.Sel.Name, l.why)
			}
		}
		return true
	})
	return found, nil
}

// TestRooms parses in-process: a version that asked the go command passed stale, out of the test cache.
func TestRooms(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, file, d.Name())
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		room, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		room = filepath.ToSlash(room)
		seen[room] = true
		found, err := breaches(room, file, nil)
		for _, b := range found {
			t.Error(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The walk itself must not have missed the house.
	for _, room := range []string{wiring, "oidc", "oidc/engine", "pkg/web", "storage", "templates"} {
		if !seen[room] {
			t.Errorf("no source of %s was looked at", room)
		}
	}
	for room := range seen {
		if _, err := os.Stat(filepath.Join(root, room, "doc.go")); err != nil {
			t.Errorf("%s has no doc.go", room)
		}
	}
}

// skip leaves out what is not part of the module: hidden folders, test data, nested modules.
func skip(root, dir, name string) error {
	if dir == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "node_modules" || name == "testdata" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

// TestRoomsCatchBreaches shows to the checker a source that breaks each law: it must be reported.
func TestRoomsCatchBreaches(t *testing.T) {
	for _, c := range []struct{ name, room, src, want string }{
		{"a room that nobody decided on", "pkg/utils", `package utils`, "knows no room pkg/utils"},
		{"the protocol shows nothing", "oidc", `package oidc; import _ "` + module + `pkg/web"`, "oidc must not import pkg/web"},
		{"nor templates", "oidc/logout", `package logout; import _ "` + module + `templates"`, "must not import templates"},
		{"nor reads accounts", "oidc/engine", `package engine; import _ "` + module + `pkg/account"`, "must not import pkg/account"},
		{"nor sends mail", "oidc", `package oidc; import m "` + module + `pkg/mail"; var _ m.X`, "must not import pkg/mail"},
		{"storage is the wiring's", "pkg/account", `package account; import _ "` + module + `storage"`, "must not import storage"},
		{"configuration is the wiring's", "pkg/web", `package web; import _ "` + module + `pkg/config"`, "must not import pkg/config"},
		{"leaves know no rooms", "pkg/keys", `package keys; import _ "` + module + `oidc/client"`, "must not import oidc/client"},
		{"fosite stays in the engine", "oidc", `package oidc; import _ "github.com/ory/fosite"`, "only oidc/engine may import"},
		{"gorm stays in storage", wiring, `package main; import _ "gorm.io/gorm"`, "only storage may import"},
		{"SQL too", "pkg/session", `package session; import _ "database/sql"`, "only storage may import"},
		{"pgx too", "pkg/session", `package session; import _ "github.com/jackc/pgx/v5"`, "only storage may import"},
		{"the time", "oidc", `package oidc; import "time"; var now = time.Now`, "time.Now"},
		{"the time under another name", "oidc", `package oidc; import clock "time"; var t = clock.Now()`, "time.Now"},
		{"the time by a dot", "oidc", `package oidc; import . "time"; var t = Now()`, "imported with a dot"},
		{"the time by a difference", wiring, `package main; import "time"; var t = time.Since(x)`, "time.Since"},
		{"an HTTP client", "oidc/logout", `package logout; import "net/http"; var c = &http.Client{}`, "net/http.Client"},
		{"an HTTP client under another name", "pkg/web", `package web; import h "net/http"; var c = h.DefaultClient`, "net/http.DefaultClient"},
		{"a GET", "pkg/mail", `package mail; import "net/http"; func f() { http.Get("") }`, "net/http.Get"},
		{"a connection", "pkg/web", `package web; import n "net"; func f() { n.Dial("", "") }`, "net.Dial"},
		{"a TLS connection", "pkg/account", `package account; import "crypto/tls"; var d tls.Dialer`, "crypto/tls.Dialer"},
	} {
		found, err := breaches(c.room, "x.go", c.src)
		if err != nil || !slices.ContainsFunc(found, func(b string) bool { return strings.Contains(b, c.want) }) {
			t.Errorf("%s: %q, %v", c.name, found, err)
		}
	}
	for _, c := range []struct{ room, src string }{
		{"pkg/clock", `package clock; import "time"; var now = time.Now`},
		{"pkg/outbound", `package outbound; import ("net"; "net/http"); var c http.Client; var d net.Dialer`},
		{"pkg/mail", `package mail; import "net"; var d net.Dialer`},
		{"cmd/passport/demo", `package demo; import ("net/http"; "time"); var c http.Client; var t = time.Now()`},
		{"oidc", `package oidc; import "net/http"; func f(w http.ResponseWriter, c *clock) { c.Now() }`},
		{"storage", `package storage; import (_ "gorm.io/gorm"; _ "` + module + `oidc/grant")`},
		{wiring, `package main; import (_ "` + module + `storage"; _ "` + module + `pkg/config")`},
	} {
		if found, err := breaches(c.room, "x.go", c.src); err != nil || len(found) > 0 {
			t.Errorf("%s: %q, %v", c.room, found, err)
		}
	}
}
