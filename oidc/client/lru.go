package client

import "container/list"

// lru is a map bounded by count and by weight; who was asked for longest ago leaves first. Not safe for
// concurrent use.
type lru[V any] struct {
	max, maxWeight int
	weight         int
	order          *list.List // front: newest; of *entry[V]
	entries        map[string]*list.Element
}

type entry[V any] struct {
	key    string
	value  V
	weight int
}

func newLRU[V any](count, weight int) *lru[V] {
	return &lru[V]{max: count, maxWeight: weight, order: list.New(), entries: map[string]*list.Element{}}
}

func (l *lru[V]) get(key string) (V, bool) {
	e, ok := l.entries[key]
	if !ok {
		var none V
		return none, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, true
}

func (l *lru[V]) put(key string, v V, weight int) {
	l.drop(key)
	l.entries[key] = l.order.PushFront(&entry[V]{key, v, weight})
	l.weight += weight
	for len(l.entries) > l.max || l.weight > l.maxWeight {
		l.drop(l.order.Back().Value.(*entry[V]).key)
	}
}

func (l *lru[V]) drop(key string) {
	e, ok := l.entries[key]
	if !ok {
		return
	}
	l.order.Remove(e)
	delete(l.entries, key)
	l.weight -= e.Value.(*entry[V]).weight
}

func (l *lru[V]) clear() {
	l.order.Init()
	clear(l.entries)
	l.weight = 0
}
