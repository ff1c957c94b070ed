package templates

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"path"
	"strings"
)

//go:embed layout.html pages/*.html parts/*.html
var sources embed.FS

// Config is what all pages share.
type Config struct {
	Brand string // the operator's name for the service
	// In every page's foot; empty: no such link.
	Help, Privacy, Terms string
}

// Set renders pages. It is safe for concurrent use.
type Set struct {
	config Config
	words  catalogue
	pages  map[string]*template.Template
}

// New parses everything; a fault in any template or catalogue is found here.
func New(c Config) (*Set, error) {
	if strings.TrimSpace(c.Brand) == "" {
		return nil, errors.New("templates: a brand is required")
	}
	words, err := loadCatalogue()
	if err != nil {
		return nil, err
	}
	shell, err := template.New("layout.html").Option("missingkey=error").ParseFS(sources, "layout.html", "parts/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse layout: %w", err)
	}
	files, err := sources.ReadDir("pages")
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	s := &Set{config: c, words: words, pages: map[string]*template.Template{}}
	for _, f := range files {
		t, err := template.Must(shell.Clone()).ParseFS(sources, path.Join("pages", f.Name()))
		if err != nil {
			return nil, fmt.Errorf("parse page: %w", err)
		}
		s.pages[strings.TrimSuffix(f.Name(), ".html")] = t
	}
	return s, nil
}

// Render writes the page in the language. The caller gives a buffer: an error comes after some bytes.
func (s *Set) Render(w io.Writer, lang string, p Page) error {
	t := s.pages[p.Name()]
	if t == nil {
		return fmt.Errorf("render: no page %q", p.Name())
	}
	if !Known(lang) {
		lang = Languages[0].Code
	}
	b := p.base()
	b.Config, b.Lang, b.page, b.words = s.config, lang, p.Name(), s.words
	for _, l := range Languages {
		if l.Code == lang {
			b.Dir = l.Dir
		}
	}
	root := "layout.html"
	if p.Name() == "form_post" {
		root = "form_post.html"
	}
	if err := t.ExecuteTemplate(w, root, p); err != nil {
		return fmt.Errorf("render %s: %w", p.Name(), err)
	}
	return nil
}

// Has reports whether the catalogue knows the key.
func (s *Set) Has(key string) bool {
	_, ok := s.words[Languages[0].Code][key]
	return ok
}

// BaseOf gives what every page has, for the shell to fill.
func BaseOf(p Page) *Base { return p.base() }
