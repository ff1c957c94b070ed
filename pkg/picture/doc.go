// Package picture draws the pictures of strangers anew: what other people's browsers get of one is pixels alone, in a format
// and a size of our choosing.
//
// It owns what is taken (PNG, JPEG, GIF, WebP), what one may cost, and how many are drawn at once. It refuses to know where
// a picture comes from and where it is kept.
package picture
