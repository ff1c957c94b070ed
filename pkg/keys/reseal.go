package keys

import (
	"context"
	"fmt"
)

// resealBatch is how many values are read at once.
const resealBatch = 200

// Resealed tells what a reseal found in one table.
type Resealed struct {
	Table    string `json:"table"`
	Resealed int    `json:"resealed"` // now under the current secret
	Current  int    `json:"current"`  // already were
}

// Reseal puts every sealed value under the current PASSPORT_SECRET; afterwards the previous one can be
// dropped. What is sealed stays the same, so every sub, sid and token stays valid. Servers may run meanwhile
// if all have the new secret as the current one and the old one beside it: each value is replaced only where
// the one that was read still stands.
// It can be run again after an error. ErrWrongSecret when a value is sealed under a secret that is not here.
func (r *Ring) Reseal(ctx context.Context) ([]Resealed, error) {
	var report []Resealed
	for _, c := range Columns {
		one, err := r.resealColumn(ctx, c)
		report = append(report, one)
		if err != nil {
			return report, fmt.Errorf("reseal %s: %w", c.Table, err)
		}
	}
	return report, nil
}

func (r *Ring) resealColumn(ctx context.Context, c Column) (Resealed, error) {
	report := Resealed{Table: c.Table}
	after := ""
	for {
		values, err := r.store.SealedValues(ctx, c, after, resealBatch)
		if err != nil || len(values) == 0 {
			return report, err
		}
		for _, v := range values {
			after = v.Row
			if !r.sealer.Stale(v.Sealed) {
				report.Current++
				continue
			}
			plain, err := r.sealer.Open(c.Table, c.Column, v.Row, v.Sealed)
			if err != nil {
				return report, err
			}
			fresh, err := r.sealer.Seal(c.Table, c.Column, v.Row, plain)
			if err != nil {
				return report, err
			}
			replaced, err := r.store.ReplaceSealed(ctx, c, v.Row, v.Sealed, fresh)
			if err != nil {
				return report, err
			}
			if replaced {
				report.Resealed++
			}
		}
	}
}
