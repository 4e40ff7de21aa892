package aws

import "cmp"

var stsOps = map[string]op{"GetCallerIdentity": {run: func(c *call) (answer, error) {
	user := "AIDA" + cmp.Or(c.scope.keyID, "HOPWISE")
	return answer{{"Arn", c.identity()}, {"UserId", user}, {"Account", c.account()}}, nil
}}}
