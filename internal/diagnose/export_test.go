package diagnose

// Suspects is for the test that every one of them is a check.
var Suspects = suspects
