package codec

import (
	"fmt"

	"github.com/bytedance/sonic"
)

// ConfigValue is one config item of a reply.
type ConfigValue struct {
	Workspace, Type, Key string
	// Value is the item's text: "" for null. A value that is not a string,
	// which config-svc does not write, is given as its JSON text.
	Value string
}

// ConfigReply is the config service's answer (bus.md section 12), as far as a
// gateway needs it.
type ConfigReply struct {
	// Version counts the changes of the whole store.
	Version int64
	// Values answers `getvalues-all-ws`, `getvalues` and `get`.
	Values []ConfigValue
	// Config answers `config`: type to key to value.
	Config map[string]map[string]string
	// Error is nil on success.
	Error *ServiceError
}

type configReplyMembers struct {
	Version int64                                        `json:"version"`
	Values  []configValueMembers                         `json:"values"`
	Config  map[string]map[string]sonic.NoCopyRawMessage `json:"config"`
	Error   *ServiceError                                `json:"error"`
}

type configValueMembers struct {
	Workspace string                 `json:"workspace"`
	Type      string                 `json:"type"`
	Key       string                 `json:"key"`
	Value     sonic.NoCopyRawMessage `json:"value"`
}

// ParseConfigReply reads a reply of the config service. Null and absent members
// are empty. The result shares no memory with msg.
func ParseConfigReply(msg []byte) (ConfigReply, error) {
	var m configReplyMembers
	if err := decodeRecord(string(msg), &m); err != nil {
		return ConfigReply{}, fmt.Errorf("config reply: %w", err)
	}
	out := ConfigReply{Version: m.Version, Error: m.Error}
	if len(m.Values) > 0 {
		out.Values = make([]ConfigValue, len(m.Values))
	}
	for i, v := range m.Values {
		out.Values[i] = ConfigValue{Workspace: v.Workspace, Type: v.Type, Key: v.Key, Value: opaqueText(v.Value)}
	}
	if len(m.Config) > 0 {
		out.Config = make(map[string]map[string]string, len(m.Config))
	}
	for typ, items := range m.Config {
		texts := make(map[string]string, len(items))
		for key, raw := range items {
			texts[key] = opaqueText(raw)
		}
		out.Config[typ] = texts
	}
	return out, nil
}

// opaqueText is the text of a config value. One odd value must not make the
// other workspaces' values unreadable, so there is no error.
func opaqueText(raw sonic.NoCopyRawMessage) string {
	if text, ok := rawText(raw); ok {
		return text
	}
	return string(raw)
}

// ConfigPush announces changes of the configuration (bus.md section 12).
type ConfigPush struct {
	// Version is the store's version after the change.
	Version int64
	// Changes maps types to the workspaces they changed in. Empty means that
	// anything may have changed.
	Changes map[string][]string
}

type configPushMembers struct {
	Version int64               `json:"version"`
	Changes map[string][]string `json:"changes"`
}

// ParseConfigPush reads a notification of the config service. The result shares
// no memory with msg.
func ParseConfigPush(msg []byte) (ConfigPush, error) {
	var m configPushMembers
	if err := decodeRecord(string(msg), &m); err != nil {
		return ConfigPush{}, fmt.Errorf("config push: %w", err)
	}
	return ConfigPush(m), nil
}

// AppendConfigQuery appends the request that a gateway itself sends to the
// config service: `getvalues-all-ws` with a type, or `config` with a workspace.
// What is not valid UTF-8 is replaced by U+FFFD.
func AppendConfigQuery(dst []byte, operation, workspace, typ string) []byte {
	dst = append(dst, `{"operation":`...)
	dst = AppendQuoted(dst, operation)
	dst = append(dst, `,"workspace":`...)
	dst = AppendQuoted(dst, workspace)
	dst = append(dst, `,"keys":[],"type":`...)
	dst = AppendQuoted(dst, typ)
	return append(dst, `,"values":[]}`...)
}
