package world
import ("testing";"fmt")
func TestTmp(t *testing.T){ w,err:=Load("base-shop"); if err!=nil {t.Fatal(err)}; _,err=w.Snapshot(); if err!=nil {t.Fatal(err)}; for _,k:=range w.Kinds(){ d,_:=w.List(k); fmt.Println(k,len(d))} }
