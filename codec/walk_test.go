package codec

import (
	"strings"
	"testing"
)

func TestWalk(t *testing.T) {
	for _, row := range []struct{ text, elements, members string }{
		{`[]`, "", ""},
		{` [ ] `, "", ""},
		{`{}`, "", ""},
		{`[1, "a]" ,[2,{"b":3}],{"c" : [4]} , null]`, `1|"a]"|[2,{"b":3}]|{"c" : [4]}|null`, ""},
		{`{"a":1, "b" : {"c":"}"} ,"a":[2] }`, "", `"a"=1|"b"={"c":"}"}|"a"=[2]`},
		{`"text"`, "", ""},
		{`7`, "", ""},
	} {
		v, err := ParseValue([]byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		var elements, members []string
		for e := range v.Elements() {
			elements = append(elements, string(e.Raw))
		}
		for name, value := range v.Members() {
			members = append(members, string(name.Raw)+"="+string(value.Raw))
		}
		if got := strings.Join(elements, "|"); got != row.elements {
			t.Errorf("%s: elements %s", row.text, got)
		}
		if got := strings.Join(members, "|"); got != row.members {
			t.Errorf("%s: members %s", row.text, got)
		}
		if v.Len() != len(elements)+len(members) {
			t.Errorf("%s: %d elements or members", row.text, v.Len())
		}
		for range v.Elements() {
			break // stopping early is fine
		}
		for range v.Members() {
			break
		}
	}
	if (Value{}).Len() != 0 {
		t.Error("no value has elements")
	}
}
