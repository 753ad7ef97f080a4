package flows

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"sluice/codec"
)

// Asker asks a global service. It may be called concurrently.
type Asker interface {
	// Ask sends msg, a bus message, to the service of the kind and appends the
	// body of its reply to dst. It returns when the reply is there, when the
	// time-out has passed, or when there is no hope of a reply.
	Ask(kind codec.Kind, msg, dst []byte, timeout time.Duration) ([]byte, error)
}

// fetchTimeout bounds one request to the config service.
const fetchTimeout = 10 * time.Second

// errIncomplete is the error for replies that lack the member that was asked for:
// to take that for an empty configuration would stop flows.
var errIncomplete = errors.New("config reply without the member asked for")

// list asks which workspaces have flows.
func list(a Asker) (workspaces map[string]struct{}, version int64, err error) {
	reply, err := query(a, "getvalues-all-ws", "", "flow", "values")
	if err != nil {
		return nil, 0, err
	}
	workspaces = make(map[string]struct{})
	for _, v := range reply.Values {
		workspaces[v.Workspace] = struct{}{}
	}
	return workspaces, reply.Version, nil
}

// fetch asks for the flow records of a workspace.
func fetch(a Asker, workspace string) (records map[string]string, version int64, err error) {
	reply, err := query(a, "config", workspace, "", "config")
	if err != nil {
		return nil, 0, err
	}
	return reply.Config["flow"], reply.Version, nil
}

func query(a Asker, operation, workspace, typ, member string) (codec.ConfigReply, error) {
	reply, err := ask(a, codec.AppendConfigQuery(nil, operation, workspace, typ), member)
	if err != nil {
		fetchesFailed.Inc()
		return codec.ConfigReply{}, fmt.Errorf("%s: %w", operation, err)
	}
	fetchesOK.Inc()
	return reply, nil
}

func ask(a Asker, msg []byte, member string) (codec.ConfigReply, error) {
	body, err := a.Ask(codec.Config, msg, nil, fetchTimeout)
	if err != nil {
		return codec.ConfigReply{}, err
	}
	reply, err := codec.ParseConfigReply(body)
	if err != nil {
		return codec.ConfigReply{}, err
	}
	if reply.Error != nil {
		return codec.ConfigReply{}, reply.Error
	}
	if !bytes.Contains(body, []byte(`"`+member+`"`)) {
		return codec.ConfigReply{}, errIncomplete
	}
	return reply, nil
}
