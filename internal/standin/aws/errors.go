package aws

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// An apiError is an error as AWS tells it.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func fail(status int, code, format string, args ...any) error {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

// bad is the error of a request that AWS refuses with 400.
func bad(code, format string, args ...any) error {
	return fail(http.StatusBadRequest, code, format, args...)
}

// A condition is an error that every service has, under its own name.
type condition int

const (
	accessDenied condition = iota
	throttled
	internal
	unknownKey
	badSignature
	expiredToken
	noSignature
	halfSignature
	unknownAction
	missingParameter
	unknownParameter
	invalidValue
	badToken
)

// The columns of conditions.
const (
	shapeEC2      = iota
	shapeQuery    // Elastic Load Balancing, STS; Route 53's XML errors have the same codes
	shapeJSON     // EKS
	shapeResolver // Route 53 Resolver
	shapeQuotas   // Service Quotas
)

type statusCode struct {
	status int
	code   string
}

// conditions are from "Error codes for the Amazon EC2 API" and the "Common
// errors" page of each other service's API reference. EC2 tells wrong keys
// from wrong signatures as little as a login page does.
var conditions = map[condition][5]statusCode{
	accessDenied:     {{403, "UnauthorizedOperation"}, {403, "AccessDenied"}, {403, "AccessDeniedException"}, {400, "AccessDeniedException"}, {400, "AccessDeniedException"}},
	throttled:        {{503, "RequestLimitExceeded"}, {400, "Throttling"}, {429, "TooManyRequestsException"}, {400, "ThrottlingException"}, {400, "TooManyRequestsException"}},
	internal:         {{500, "InternalError"}, {500, "InternalFailure"}, {500, "ServerException"}, {500, "InternalServiceErrorException"}, {500, "ServiceException"}},
	unknownKey:       {{401, "AuthFailure"}, {403, "InvalidClientTokenId"}, {403, "UnrecognizedClientException"}, {400, "UnrecognizedClientException"}, {400, "UnrecognizedClientException"}},
	badSignature:     {{401, "AuthFailure"}, {403, "SignatureDoesNotMatch"}, {403, "InvalidSignatureException"}, {400, "InvalidSignatureException"}, {400, "InvalidSignatureException"}},
	expiredToken:     {{400, "RequestExpired"}, {403, "ExpiredToken"}, {403, "ExpiredTokenException"}, {400, "ExpiredTokenException"}, {400, "ExpiredTokenException"}},
	noSignature:      {{403, "MissingAuthenticationToken"}, {403, "MissingAuthenticationToken"}, {403, "MissingAuthenticationTokenException"}, {400, "MissingAuthenticationTokenException"}, {400, "MissingAuthenticationTokenException"}},
	halfSignature:    {{400, "IncompleteSignature"}, {400, "IncompleteSignature"}, {400, "IncompleteSignatureException"}, {400, "IncompleteSignatureException"}, {400, "IncompleteSignatureException"}},
	unknownAction:    {{400, "InvalidAction"}, {400, "InvalidAction"}, {404, "UnknownOperationException"}, {400, "UnknownOperationException"}, {400, "UnknownOperationException"}},
	missingParameter: {{400, "MissingParameter"}, {400, "ValidationError"}, {400, "InvalidParameterException"}, {400, "ValidationException"}, {400, "ValidationException"}},
	unknownParameter: {{400, "UnknownParameter"}, {400, "ValidationError"}, {400, "InvalidParameterException"}, {400, "ValidationException"}, {400, "ValidationException"}},
	invalidValue:     {{400, "InvalidParameterValue"}, {400, "ValidationError"}, {400, "InvalidParameterException"}, {400, "InvalidParameterException"}, {400, "IllegalArgumentException"}},
	badToken:         {{400, "InvalidPaginationToken"}, {400, "ValidationError"}, {400, "InvalidParameterException"}, {400, "InvalidNextTokenException"}, {400, "InvalidPaginationTokenException"}},
}

// problem is a condition in the words of c's service.
func (c *call) problem(what condition, format string, args ...any) error {
	s := conditions[what][c.proto.shape]
	return fail(s.status, s.code, format, args...)
}

func (c *call) invalid(format string, args ...any) error {
	return c.problem(invalidValue, format, args...)
}

// denied is the error of a caller whose policies do not allow the call. EC2
// adds a message that only an administrator can decode.
func (c *call) denied() error {
	who := c.identity()
	text := fmt.Sprintf("User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", who, c.permission(), c.permission())
	if c.proto.shape != shapeEC2 {
		return c.problem(accessDenied, "%s", text)
	}
	encoded := base64.RawURLEncoding.EncodeToString([]byte(c.id + who + c.permission()))
	return c.problem(accessDenied, "You are not authorized to perform this operation. %s. Encoded authorization failure message: %s", text, encoded)
}

// write sends the answer or the error in the service's protocol.
func (c *call) write(rw http.ResponseWriter, ans answer, err error) {
	rw.Header().Set("x-amzn-RequestId", c.id)
	var api *apiError
	switch {
	case err == nil:
		c.send(rw, http.StatusOK, c.document(ans))
	case errors.As(err, &api):
		c.writeError(rw, api)
	default:
		c.server.log.Error("aws call failed", "permission", c.permission(), "error", err)
		errors.As(c.problem(internal, "An internal error has occurred: %v", err), &api)
		c.writeError(rw, api)
	}
}

func (c *call) send(rw http.ResponseWriter, status int, body []byte) {
	kind := "text/xml;charset=UTF-8"
	switch {
	case c.proto.target != "":
		kind = "application/x-amz-json-1.1"
	case c.proto.shape == shapeJSON:
		kind = "application/json"
	}
	rw.Header().Set("Content-Type", kind)
	rw.WriteHeader(status)
	rw.Write(body)
}

// document is the body of a good answer.
func (c *call) document(ans answer) []byte {
	switch {
	case c.proto.shape == shapeJSON || c.proto.target != "":
		b, err := json.Marshal(plain(c.proto.style, ans))
		if err != nil {
			panic(fmt.Sprintf("aws: answer of %s: %v", c.action, err)) // a bug: plain data only
		}
		return b
	case c.proto.name == "ec2":
		ans = append(answer{{"requestId", c.id}}, ans...)
	case c.proto.name != "route53":
		ans = answer{{c.action + "Result", ans}, {"ResponseMetadata", answer{{"RequestId", c.id}}}}
	}
	return xmlDocument(c.proto.style, c.action+"Response", c.proto.namespace, ans)
}

func (c *call) writeError(rw http.ResponseWriter, e *apiError) {
	switch c.proto.shape {
	case shapeResolver, shapeQuotas: // JSON 1.1 tells the code in the body
		b, _ := json.Marshal(map[string]string{"__type": e.code, "Message": e.message}) // strings always marshal
		c.send(rw, e.status, b)
	case shapeJSON:
		rw.Header().Set("x-amzn-ErrorType", e.code)
		b, _ := json.Marshal(map[string]string{"message": e.message}) // strings always marshal
		c.send(rw, e.status, b)
	case shapeEC2:
		c.send(rw, e.status, xmlDocument(ec2Style, "Response", "", answer{
			{"Errors", answer{{"Error", answer{{"Code", e.code}, {"Message", e.message}}}}}, {"RequestID", c.id},
		}))
	default:
		fault := "Sender"
		if e.status >= 500 {
			fault = "Receiver"
		}
		c.send(rw, e.status, xmlDocument(queryStyle, "ErrorResponse", c.proto.namespace, answer{
			{"Error", answer{{"Type", fault}, {"Code", e.code}, {"Message", e.message}}}, {"RequestId", c.id},
		}))
	}
}
