package account

// Versions are those of the operator's terms and privacy policy; any short text, empty: the one that there is.
type Versions struct {
	Terms   string `json:"terms"`
	Privacy string `json:"privacy"`
}
