package proxy

import (
	"embed"
	"strings"

	"github.com/valyala/fasthttp"
)

//go:embed i18n/*.json
var packFiles embed.FS

// fallbackLanguage is served for languages that there is no pack of.
const fallbackLanguage = "en"

// packs holds the language packs by code, each a JSON object of texts.
var packs = loadPacks()

func loadPacks() map[string][]byte {
	entries, err := packFiles.ReadDir("i18n")
	if err != nil {
		panic("BUG: " + err.Error()) // embedded: cannot be missing
	}
	out := make(map[string][]byte, len(entries))
	for _, e := range entries {
		text, err := packFiles.ReadFile("i18n/" + e.Name())
		if err != nil {
			panic("BUG: " + err.Error())
		}
		out[strings.TrimSuffix(e.Name(), ".json")] = text
	}
	return out
}

var errLanguage = &plainError{status: fasthttp.StatusBadRequest, reason: "Invalid language code"}

// languagePack serves GET /api/v1/i18n/packs/{lang}.
func (s *Server) languagePack(ctx *fasthttp.RequestCtx, x *exchange) error {
	lang := string(x.match.params[0])
	if x.match.params[0] == nil || strings.Contains(lang, "..") {
		return errLanguage
	}
	ctx.SetContentType(jsonType)
	ctx.Response.SetBodyRaw(packs[languageOf(lang)])
	return nil
}

// languageOf picks the pack for what a browser or a CLI calls a language.
func languageOf(lang string) string {
	first, _, _ := strings.Cut(lang, ",")
	code := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(first)), "_", "-")
	base, _, _ := strings.Cut(code, "-")
	if base == "zh" {
		return "zh-cn"
	}
	if packs[base] != nil {
		return base
	}
	return fallbackLanguage
}
