package proxy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packKeys are the keys and placeholders of gateway.md section 12.
const packKeys = `title phase_1 phase_2 phase_3 phase_4 summary checking{name} checking_attempt{name,attempt}
failed_timeout{name,attempt} pulsar_not_responding checks_passed{passed,total} checks_failed{failed,total}
total_time{elapsed} system_healthy system_failing{failed} check_name.pulsar check_name.api_gateway
check_name.processors check_name.flow_blueprints check_name.flows check_name.prompts check_name.library
check_name.workbench_ui pulsar.healthy{clusters} pulsar.status{status_code} pulsar.timeout pulsar.cannot_connect
pulsar.error{error} api_gateway.responding api_gateway.status{status_code} api_gateway.timeout
api_gateway.cannot_connect api_gateway.error{error} processors.found{count,min} processors.only{count,min}
processors.metrics_status{status_code} processors.error{error} flow_blueprints.found{count} flow_blueprints.none
flow_blueprints.error{error} flows.responding{count} flows.error{error} prompts.found{count} prompts.none
prompts.error{error} library.responding{count} library.error{error} ui.responding ui.status{status_code}
ui.timeout ui.cannot_connect ui.error{error}`

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

func TestPacks(t *testing.T) {
	want := make(map[string][]string)
	for _, field := range strings.Fields(packKeys) {
		key, list, _ := strings.Cut(strings.TrimSuffix(field, "}"), "{")
		names := strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		slices.Sort(names)
		want["cli.verify_system_status."+key] = names
	}
	if len(want) != 52 || len(packs) != 10 {
		t.Fatalf("%d keys, %d packs", len(want), len(packs))
	}
	for _, lang := range strings.Fields("en es sw pt tr hi he ar zh-cn ru") {
		var texts map[string]string
		if err := json.Unmarshal(packs[lang], &texts); err != nil {
			t.Errorf("%s: %v", lang, err)
			continue
		}
		if len(texts) != len(want) {
			t.Errorf("%s: %d keys", lang, len(texts))
		}
		for key, names := range want {
			var got []string
			for _, m := range placeholder.FindAllStringSubmatch(texts[key], -1) {
				got = append(got, m[1])
			}
			slices.Sort(got)
			if texts[key] == "" || !slices.Equal(got, names) {
				t.Errorf("%s %s: %q", lang, key, texts[key])
			}
		}
	}
}

func TestLanguages(t *testing.T) {
	r := newRig(t, Config{})
	for path, want := range map[string]string{
		"en": "en", "es": "es", "ES": "es", "pt-BR": "pt", "pt_BR": "pt", "zh": "zh-cn", "zh-TW": "zh-cn",
		"zh_Hant": "zh-cn", "ru,en;q=0.9": "ru", "%20he%20,en": "he", "es;q=0.9": "en", "xx": "en", "tlh": "en",
		"english": "en", "-": "en", "ar-": "ar", "%D1%80%D1%83": "en",
	} {
		got := r.do("GET", "/api/v1/i18n/packs/"+path, "", "")
		if got.status != 200 || got.body != string(packs[want]) || got.header.Get("Content-Type") != jsonType {
			t.Errorf("%s: %d %.60s, expected %s", path, got.status, got.body, want)
		}
	}
	for path, want := range map[string]int{"a%2fb": 400, "a..b": 400, "%2e%2e": 400, "": 404, "a/b": 404} {
		got := r.do("GET", "/api/v1/i18n/packs/"+path, "", "")
		if got.status != want || want == 400 && got.body != "400: Invalid language code" {
			t.Errorf("%q: %d %s", path, got.status, got.body)
		}
	}
	c := r.dial()
	c.say("GET /api/v1/i18n/packs/.. HTTP/1.1\r\nHost: x\r\n\r\n")
	line, err := c.in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 400 Invalid language code\r\n" {
		t.Errorf("%q %v", line, err)
	}
}
