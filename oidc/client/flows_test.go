package client

import "testing"

// The table of OpenID Connect Registration §2, with the types that cannot be registered yet.
func TestFlowsAgree(t *testing.T) {
	code, implicit, both := []string{"authorization_code"}, []string{"implicit"}, []string{"authorization_code", "implicit"}
	for _, x := range []struct {
		grants, responses []string
		ok                bool
	}{
		{code, []string{"code"}, true}, {implicit, []string{"id_token"}, true}, {implicit, []string{"id_token token"}, true},
		{both, []string{"code id_token"}, true}, {both, []string{"code token"}, true}, {both, []string{"code id_token token"}, true},
		{both, []string{"code", "id_token"}, true},
		{code, []string{"id_token"}, false}, {implicit, []string{"code"}, false}, {code, []string{"code id_token"}, false},
		{implicit, []string{"code id_token"}, false}, {both, []string{"code"}, false}, {both, []string{"id_token"}, false},
		{append(code, "refresh_token"), []string{"code"}, true}, {append(implicit, "refresh_token"), []string{"id_token"}, false},
		{[]string{"client_credentials"}, nil, true},
	} {
		if err := flowsAgree(x.grants, x.responses, false); (err == nil) != x.ok {
			t.Errorf("%v %v: %v", x.grants, x.responses, err)
		}
	}
	if flowsAgree([]string{"client_credentials"}, nil, true) == nil {
		t.Error("a public client may use client_credentials")
	}
}

func TestLRU(t *testing.T) {
	l := newLRU[int](3, 100)
	for i, key := range []string{"a", "b", "c"} {
		l.put(key, i, 10)
	}
	l.get("a")
	l.put("d", 3, 10)
	if _, ok := l.get("b"); ok || len(l.entries) != 3 || l.weight != 30 {
		t.Errorf("%v %d", l.entries, l.weight)
	}
	l.put("e", 4, 95) // drops by weight
	if _, ok := l.get("e"); !ok || len(l.entries) != 1 || l.weight != 95 {
		t.Errorf("%v %d", l.entries, l.weight)
	}
	l.put("f", 5, 101)
	if len(l.entries) != 0 || l.weight != 0 || l.order.Len() != 0 {
		t.Errorf("%v %d", l.entries, l.weight)
	}
}
