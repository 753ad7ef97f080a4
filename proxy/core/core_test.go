package core

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tinylib/msgp/msgp"

	"sluice/codec"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestObservedBytes: what the reference was seen to write (gateway.md 11.2).
func TestObservedBytes(t *testing.T) {
	part := `{"triples":{"metadata":{"id":"x","root":"","collection":"c"},"triples":[{"s":{"t":"i","i":"http://s"},"p":{"t":"i","i":"p"},"o":{"t":"l","v":"v"}}]}}`
	want := unhex(t, "92 a1 74 82 a1 6d 82 a1 69 a1 78 a1 63 a1 63 a1 74 91 83 a1 73 82 a1 74 a1 69 a1 69 a8 68 74 74 70 3a 2f 2f 73"+
		"a1 70 82 a1 74 a1 69 a1 69 a1 70 a1 6f 82 a1 74 a1 6c a1 76 a1 76")
	if got := AppendValues(nil, []byte(part)); !bytes.Equal(got, want) {
		t.Errorf("triples\n%x, expected\n%x", got, want)
	}
	part = `{"graph-embeddings":{"metadata":{"id":"x","root":"","collection":"c"},"entities":[{"vector":[0.5,1,-2.25],"entity":{"t":"i","i":"e"}}]}}`
	want = unhex(t, "92 a2 67 65 82 a1 6d 82 a1 69 a1 78 a1 63 a1 63 a1 65 91 82 a1 65 82 a1 74 a1 69 a1 69 a1 65 a1 76"+
		"93 cb 3fe0000000000000 01 cb c002000000000000")
	if got := AppendValues(nil, []byte(part)); !bytes.Equal(got, want) {
		t.Errorf("embeddings\n%x, expected\n%x", got, want)
	}
}

// TestNumbers: integers in their shortest form, everything else as float64; and
// back again the same text.
func TestNumbers(t *testing.T) {
	for _, row := range []struct{ json, bytes, back string }{
		{"0", "00", "0"},
		{"-0", "00", "0"},
		{"127", "7f", "127"},
		{"128", "cc80", "128"},
		{"255", "ccff", "255"},
		{"256", "cd0100", "256"},
		{"65536", "ce00010000", "65536"},
		{"4294967296", "cf0000000100000000", "4294967296"},
		{"18446744073709551615", "cfffffffffffffffff", "18446744073709551615"},
		{"18446744073709551616", "cb43f0000000000000", "18446744073709552000.0"},
		{"-1", "ff", "-1"},
		{"-32", "e0", "-32"},
		{"-33", "d0df", "-33"},
		{"-129", "d1ff7f", "-129"},
		{"-32769", "d2ffff7fff", "-32769"},
		{"-2147483649", "d3ffffffff7fffffff", "-2147483649"},
		{"1.0", "cb3ff0000000000000", "1.0"},
		{"1e2", "cb4059000000000000", "100.0"},
		{"-0.0", "cb8000000000000000", "-0.0"},
		{"1e-320", "cb00000000000007e8", "1e-320"},
		{"0.1", "cb3fb999999999999a", "0.1"},
	} {
		got := appendAny(nil, codec.Value{Raw: []byte(row.json)})
		if hex.EncodeToString(got) != row.bytes {
			t.Errorf("%s: %x, expected %s", row.json, got, row.bytes)
		}
		back, rest, err := appendNumber(nil, got)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %v", row.json, err)
		}
		f1, _ := codec.ParseValue(back)
		if string(f1.Raw) != row.back && row.back != "18446744073709552000.0" {
			t.Errorf("%s came back as %s", row.json, back)
		}
	}
	if got, _, err := appendNumber(nil, unhex(t, "ca3e800000")); err != nil || string(got) != "0.25" {
		t.Errorf("float32: %s %v", got, err)
	}
}

func TestTextFamilies(t *testing.T) {
	for n, head := range map[int]string{0: "a0", 31: "bf", 32: "d920", 255: "d9ff", 256: "da0100", 65536: "db00010000"} {
		got := appendAny(nil, codec.Value{Raw: []byte(`"` + strings.Repeat("x", n) + `"`)})
		if hex.EncodeToString(got[:len(got)-n]) != head {
			t.Errorf("%d bytes of text begin with %x", n, got[:len(got)-n])
		}
	}
	if got := appendAny(nil, codec.Value{Raw: []byte(`"\u00e9\n"`)}); hex.EncodeToString(got) != "a3c3a90a" {
		t.Errorf("escapes: %x", got)
	}
}

func TestPartsWithoutContent(t *testing.T) {
	for _, part := range []string{`{"eos":true}`, `{}`, `{"ids":["a"]}`, `{"error":{"type":"x","message":"y"}}`} {
		if got := AppendValues(nil, []byte(part)); len(got) > 0 {
			t.Errorf("%s: %x", part, got)
		}
	}
}

const (
	busTriples = `{"ids":null,"eos":false,"triples":{"metadata":{"id":"doc","root":"","collection":"c"},"triples":[` +
		`{"s":{"type":"i","iri":"s"},"p":{"type":"i","iri":"p"},"o":{"type":"l","value":"v\n\"","language":"en","datatype":"d"},"g":"urn:g"},` +
		`{"s":{"type":"t","triple":{"s":{"type":"i","iri":"a"},"p":{"type":"i","iri":"b"},"o":{"type":"b","id":"n1"}}},"p":{"type":"i","iri":"p"},"o":{"type":"i","iri":"o"}}]}}`
	busEmbeddings = `{"ids":null,"eos":false,"graph_embeddings":{"metadata":{"id":"doc","root":"","collection":"c"},"entities":[` +
		`{"entity":{"type":"i","iri":"e"},"vector":[0.5,1,-2.25,1e-7],"chunk_id":"k"}]}}`
)

func exported(t testing.TB, msg string) []byte {
	t.Helper()
	body, _, err := codec.AppendResponse(nil, codec.Knowledge, []byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	return AppendValues(nil, body)
}

// TestThereAndBack: what is exported is imported as the same request, whatever
// pieces it arrives in.
func TestThereAndBack(t *testing.T) {
	file := append(exported(t, busTriples), exported(t, busEmbeddings)...)
	want := []string{
		`{"operation":"put-kg-core","id":"new","triples":{"metadata":{"id":"new","collection":"default"},"triples":[` +
			`{"s":{"t":"i","i":"s"},"p":{"t":"i","i":"p"},"o":{"t":"l","v":"v\n\"","dt":"d","ln":"en"},"g":"urn:g"},` +
			`{"s":{"tr":{"s":{"t":"i","i":"a"},"p":{"t":"i","i":"b"},"o":{"t":"b","d":"n1"}},"t":"t"},"p":{"t":"i","i":"p"},"o":{"t":"i","i":"o"}}]}}`,
		`{"operation":"put-kg-core","id":"new","graph-embeddings":{"metadata":{"id":"new","collection":"default"},"entities":[` +
			`{"entity":{"t":"i","i":"e"},"vector":[0.5,1,-2.25,1e-07]}]}}`,
	}
	for name, src := range map[string]io.Reader{
		"at once": bytes.NewReader(file), "by bytes": iotest.OneByteReader(bytes.NewReader(file)),
		"with its end": iotest.DataErrReader(bytes.NewReader(file)),
	} {
		r := NewReader(src, 1<<20, nil)
		for i, text := range want {
			value, err := r.Next()
			if err != nil {
				t.Fatalf("%s, value %d: %v", name, i, err)
			}
			got, kept, err := AppendPut(nil, "new", value)
			if err != nil || !kept || string(got) != text {
				t.Errorf("%s, value %d: %v %v\n%s, expected\n%s", name, i, kept, err, got, text)
			}
			if _, err := codec.AppendRequest(nil, codec.Knowledge, got); err != nil {
				t.Errorf("%s: no request: %v", name, err)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v at the end", name, err)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	file := exported(t, busTriples)
	for n := 1; n < len(file); n++ {
		r := NewReader(iotest.HalfReader(bytes.NewReader(file[:n])), 1<<20, nil)
		if _, err := r.Next(); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d bytes of %d: %v", n, len(file), err)
		}
	}
}

func TestValueLimit(t *testing.T) {
	const limit = 1 << 16
	fits := msgp.AppendStringFromBytes(nil, make([]byte, limit-5)) // str16 would do; it is one byte over
	fits = append([]byte{0xdb, 0, 0, 0xff, 0xfb}, fits[3:]...)
	if len(fits) != limit {
		t.Fatal(len(fits))
	}
	r := NewReader(iotest.HalfReader(bytes.NewReader(append(fits, fits...))), limit, nil)
	for range 2 {
		if value, err := r.Next(); err != nil || len(value) != limit {
			t.Fatalf("%d bytes: %v", len(value), err)
		}
	}
	for name, text := range map[string]string{
		"one byte more":        "db 0000fffc",
		"a huge text":          "db ffffffff",
		"a huge bin":           "c6 ffffffff",
		"a huge ext":           "c9 ffffffff 01",
		"a huge array":         "dd ffffffff",
		"a huge map":           "df ffffffff",
		"an array of one more": "dd 0000fffc",
		"huge arrays, nested":  strings.Repeat("dd ffffffff", 1000),
	} {
		read := 0
		src := io.MultiReader(bytes.NewReader(unhex(t, text)), iotest.ErrReader(errors.New("read on")))
		_, err := NewReader(src, limit, func(more int) error { read += more; return nil }).Next()
		if !errors.Is(err, ErrTooLarge) || read > readStart {
			t.Errorf("%s: %v after %d bytes", name, err, read)
		}
	}
}

func TestReaderAsksForRoom(t *testing.T) {
	full := errors.New("full")
	r := NewReader(bytes.NewReader(msgp.AppendStringFromBytes(nil, make([]byte, 1<<20))), 1<<21, func(more int) error {
		if more > readStart {
			return full
		}
		return nil
	})
	if _, err := r.Next(); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestSourceErrorsPassThrough(t *testing.T) {
	broken := errors.New("broken")
	if _, err := NewReader(iotest.ErrReader(broken), 100, nil).Next(); !errors.Is(err, broken) {
		t.Error(err)
	}
	// What came before the error, even together with it, goes first.
	r := NewReader(iotest.DataErrReader(io.MultiReader(bytes.NewReader([]byte{1, 2}), iotest.ErrReader(broken))), 100, nil)
	for range 2 {
		if value, err := r.Next(); err != nil || len(value) != 1 {
			t.Error(value, err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestForms: what other writers write and the contract accepts.
func TestForms(t *testing.T) {
	for name, row := range map[string]struct{ value, want string }{
		"long forms": {
			"dc0002 d90174 df00000002 da00016d 80 db0000000174 dd00000001 de0003 a173 81 a174 a169 a170 80 a16f 80",
			`"triples":[{"s":{"t":"i"},"p":{},"o":{}}]`,
		},
		"no m":              {"92 a174 81 a174 90", `"triples":[]`},
		"a third entry":     {"93 a174 81 a174 90 c0", `"triples":[]`},
		"the last t counts": {"92 a174 82 a174 91 80 a174 90", `"triples":[]`},
		"extra keys of all types": {
			"92 a174 81 a174 91 85 a173 80 a178 c40101 01 02 c40173 03 c0 c0", `"triples":[{"s":{}}]`,
		},
		"extra binary in a term": {"92 a174 81 a174 91 81 a173 82 a169 a178 a16d 91 c400", `"triples":[{"s":{"i":"x"}}]`},
		"float32 and all ints": {
			"92 a26765 81 a165 91 82 a165 80 a176 99 ca3f000000 05 ff cc80 cd0100 d080 d18000 d280000000 cfffffffffffffffff",
			`"entities":[{"entity":{},"vector":[0.5,5,-1,128,256,-128,-32768,-2147483648,18446744073709551615]}]`,
		},
	} {
		got, kept, err := AppendPut(nil, "x", unhex(t, row.value))
		if err != nil || !kept || !strings.Contains(string(got), row.want) {
			t.Errorf("%s: %v %v %s", name, kept, err, got)
		}
	}
}

func TestOtherTagsAreSkipped(t *testing.T) {
	for _, text := range []string{"92 a178 80", "91 a178", "92 c40174 80", "92 01 80", "92 c0 c0", "92 a0 c0", "92 a3676565 80"} {
		if got, kept, err := AppendPut(nil, "x", unhex(t, text)); kept || err != nil || len(got) > 0 {
			t.Errorf("%s: %v %v %s", text, kept, err, got)
		}
	}
}

func TestMalformedValues(t *testing.T) {
	for _, text := range []string{
		"90", "80", "c0", "01", "a174", "c401", // no array, or an empty one
		"91 a174", "92 a174 c0", "92 a174 90", "92 a174 80", // no content
		"92 a174 81 a174 80", "92 a174 81 a174 a0", "92 a174 81 a174 91 01", "92 a174 81 a174 91 91 80",
		"92 a174 81 a174 91 81 a173 01", "92 a174 81 a174 91 81 a173 c40101", "92 a174 81 a174 91 81 a173 90", "92 a174 81 a174 91 81 a173 c3",
		"92 a174 81 a174 91 81 a173 81 a169 a1ff",                    // not UTF-8
		"92 a26765 81 a165 91 80",                                    // no entity
		"92 a26765 81 a165 91 82 a165 80 a176 80",                    // no vector
		"92 a26765 81 a165 91 82 a165 80 a176 91 a131",               // a text in it
		"92 a26765 81 a165 91 82 a165 80 a176 91 c3",                 // a boolean
		"92 a26765 81 a165 91 82 a165 80 a176 91 cb7ff8000000000000", // not a number
		"92 a26765 81 a165 91 82 a165 80 a176 91 ca7f800000",         // infinite
		"92 a174 81 a174 91" + strings.Repeat("81 a173", maxNesting+1) + "80",
	} {
		var format *FormatError
		dst := []byte("kept")
		if got, kept, err := AppendPut(dst, "x", unhex(t, text)); !errors.As(err, &format) || kept || string(got) != "kept" {
			t.Errorf("%.60s: %v %v %s", text, kept, err, got)
		}
	}
	if _, err := NewReader(bytes.NewReader([]byte{0xc1}), 100, nil).Next(); !errors.Is(err, errNoMessagePack) {
		t.Error(err)
	}
}

// TestDeepTermIsStillARequest: the codec takes what this package lets through.
func TestDeepTermIsStillARequest(t *testing.T) {
	deep := "92 a174 81 a174 91" + strings.Repeat("81 a173", maxNesting-1) + "80"
	body, _, err := AppendPut(nil, "x", unhex(t, deep))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.ParseValue(body); err != nil {
		t.Error(err)
	}
}

// TestDeepGarbage: depth costs no stack.
func TestDeepGarbage(t *testing.T) {
	deep := bytes.Repeat([]byte{0x91}, 8<<20)
	if _, err := NewReader(bytes.NewReader(deep), 16<<20, nil).Next(); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
	if _, kept, err := AppendPut(nil, "x", append([]byte{0x92, 0xa1, 'x'}, append(deep, 0)...)); kept || err != nil {
		t.Error(err)
	}
}

// FuzzCore: a core of any bytes yields values that the library reads as such, and
// requests that are JSON.
func FuzzCore(f *testing.F) {
	f.Add(exported(f, busTriples))
	f.Add(exported(f, busEmbeddings))
	f.Add(append(exported(f, busEmbeddings), exported(f, busTriples)[:40]...))
	for _, text := range []string{"92 a178 80", "dd ffffffff", "c1", "92 c40174 80", "92 a174 81 a174 91 81 a173 82 a169 a178 a16d 91 c400", "c7 05 01 0102030405", "92a26765 81 a165 91 82 a165 80 a176 91 ca7f800000"} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r := NewReader(iotest.HalfReader(bytes.NewReader(file)), 1<<16, nil)
		at := 0
		for {
			value, err := r.Next()
			if err != nil {
				return
			}
			rest, err := msgp.Skip(file[at:])
			if err != nil || len(file)-at-len(rest) != len(value) || !bytes.Equal(value, file[at:at+len(value)]) {
				t.Fatalf("value of %d bytes at %d; the library: %d left, %v", len(value), at, len(rest), err)
			}
			at += len(value)
			body, kept, err := AppendPut(nil, "id", value)
			if err != nil || !kept {
				continue
			}
			if _, err := codec.ParseValue(body); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
	})
}

func BenchmarkExport(b *testing.B) {
	body, _, err := codec.AppendResponse(nil, codec.Knowledge, []byte(busTriples))
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendValues(dst[:0], body)
	}
}

func BenchmarkImport(b *testing.B) {
	file := bytes.Repeat(exported(b, busTriples), 1000)
	var dst []byte
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(file), 1<<20, nil)
		for {
			value, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if dst, _, err = AppendPut(dst[:0], "id", value); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestLongLists: heads of every width, written when the list is.
func TestLongLists(t *testing.T) {
	for n, head := range map[int]string{0: "90", 1: "91", 15: "9f", 16: "dc0010", 65535: "dcffff", 65536: "dd00010000"} {
		list := "[" + strings.TrimSuffix(strings.Repeat("7,", n), ",") + "]"
		want := append(unhex(t, head), bytes.Repeat([]byte{7}, n)...)
		if got := appendAny([]byte{1}, codec.Value{Raw: []byte(list)}); !bytes.Equal(got[1:], want) || got[0] != 1 {
			t.Errorf("%d elements: %x…", n, got[:min(len(got), 8)])
		}
	}
	object := "{" + strings.TrimSuffix(strings.Repeat(`"":7,`, 20), ",") + "}"
	want := append(unhex(t, "de0014"), bytes.Repeat([]byte{0xa0, 7}, 20)...)
	if got := appendAny(nil, codec.Value{Raw: []byte(object)}); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}
