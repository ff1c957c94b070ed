package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed static/*
var static embed.FS

// Asset is a file that never changes under its address.
type Asset struct {
	Path string // /static/<name>.<hash>.<ext>
	Type string
	Body []byte
}

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// assets are the static files by their plain name.
var assets = func() map[string]Asset {
	files, err := static.ReadDir("static")
	if err != nil {
		panic(fmt.Sprintf("templates: %v", err)) // embedded: cannot fail in a binary that was built
	}
	all := map[string]Asset{}
	// Pictures before the style sheet that names them: its own hash must cover theirs.
	slices.SortFunc(files, func(a, b fs.DirEntry) int { return strings.Compare(path.Ext(b.Name()), path.Ext(a.Name())) })
	for _, f := range files {
		body, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			panic(fmt.Sprintf("templates: %v", err))
		}
		ext := path.Ext(f.Name())
		if ext == ".css" {
			for name, a := range all {
				body = bytes.ReplaceAll(body, []byte("url("+name+")"), []byte("url("+a.Path+")"))
			}
		}
		sum := sha256.Sum256(body)
		all[f.Name()] = Asset{
			Path: "/static/" + strings.TrimSuffix(f.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext,
			Type: assetTypes[ext],
			Body: body,
		}
	}
	return all
}()

func assetPath(name string) string { return assets[name].Path }

// Assets lists the static files.
func Assets() []Asset {
	list := make([]Asset, 0, len(assets))
	for _, a := range assets {
		list = append(list, a)
	}
	return list
}
