package slack

func (s *Server) wireUser(u *User) map[string]any {
	w := map[string]any{"id": u.ID, "team_id": u.TeamID, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted,
		"is_bot": u.BotID != "", "is_restricted": u.Restricted, "is_ultra_restricted": false, "is_admin": false, "is_owner": false,
		"is_primary_owner": false, "is_app_user": false, "updated": 1700000000, "tz": "Europe/Lisbon", "tz_label": "Western European Time",
		"tz_offset": 0, "color": "9f69e7"}
	profile := map[string]any{"real_name": u.RealName, "display_name": u.Name, "real_name_normalized": u.RealName,
		"display_name_normalized": u.Name, "team": u.TeamID, "title": u.Title}
	if u.BotID != "" {
		profile["bot_id"] = u.BotID
	}
	if u.Stranger {
		w["is_stranger"] = true
	}
	w["profile"] = profile
	return w
}

func (s *Server) usersInfo(q request) (reply, error) {
	if err := s.need("users:read"); err != nil {
		return nil, err
	}
	u := s.user(q.str("user"))
	if u == nil {
		return nil, apiError{Code: "user_not_found"}
	}
	return reply{"user": s.wireUser(u)}, nil
}

func (s *Server) usersList(q request) (reply, error) {
	if err := s.need("users:read"); err != nil {
		return nil, err
	}
	from, to, next, err := q.page(len(s.ws.Users), 200)
	if err != nil {
		return nil, err
	}
	members := []any{}
	for i := range s.ws.Users[from:to] {
		members = append(members, s.wireUser(&s.ws.Users[from+i]))
	}
	return reply{"members": members, "cache_ts": 1700000000, "response_metadata": reply{"next_cursor": next}}, nil
}

func (s *Server) usergroupsList(q request) (reply, error) {
	if err := s.need("usergroups:read"); err != nil {
		return nil, err
	}
	list := []any{}
	for _, g := range s.ws.Groups {
		w := map[string]any{"id": g.ID, "team_id": s.ws.Team.ID, "is_usergroup": true, "handle": g.Handle, "name": g.Name,
			"description": "", "is_external": false, "date_create": 1700000000, "date_update": 1700000000, "date_delete": 0,
			"user_count": len(g.Users)}
		if q.bool("include_users") {
			w["users"] = g.Users
		}
		list = append(list, w)
	}
	return reply{"usergroups": list}, nil
}

func (s *Server) usergroupsUsersList(q request) (reply, error) {
	if err := s.need("usergroups:read"); err != nil {
		return nil, err
	}
	for _, g := range s.ws.Groups {
		if g.ID == q.str("usergroup") {
			return reply{"users": g.Users}, nil
		}
	}
	return nil, apiError{Code: "no_such_subteam"}
}

func (s *Server) botsInfo(q request) (reply, error) {
	if err := s.need("users:read"); err != nil {
		return nil, err
	}
	for _, u := range s.ws.Users {
		if u.BotID != "" && u.BotID == q.str("bot") {
			w := map[string]any{"id": u.BotID, "deleted": u.Deleted, "name": u.RealName, "updated": 1700000000, "user_id": u.ID, "icons": map[string]any{}}
			if u.ID == s.ws.App.BotUser {
				w["app_id"] = s.ws.App.ID
			}
			return reply{"bot": w}, nil
		}
	}
	return nil, apiError{Code: "bot_not_found"}
}
