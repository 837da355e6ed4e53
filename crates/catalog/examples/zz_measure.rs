#[path = "../tests/it/world.rs"] mod world;
use std::time::Instant; use world::*; use aseptic_model::*; use aseptic_catalog::*;
fn main(){
 let mut w=World::default(); let job=Job{experiment:Some("train"),inputs:vec![("train",dataset("d",1))],outputs:vec![path(b"out/a"),path(b"out/b")]};
 let t=Instant::now(); for _ in 0..10000 { w.run(&job,Status::Succeeded);} println!("make {:?}",t.elapsed());
 let d=tempfile::tempdir_in(".").unwrap(); let f=d.path().join("c.db");
 let t=Instant::now(); let mut c=Catalog::open(&f).unwrap(); println!("create {:?}",t.elapsed());
 let t=Instant::now(); w.apply(&mut c).unwrap(); println!("apply 40k entries {:?}",t.elapsed()); drop(c);
 let mut v=vec![]; let n=w.entries.len();
 for _ in 0..300 { let run=w.plan(&job); w.decide(&run,vec![]); w.push(Event::RunStarted{run:run.clone()}); w.seal(&run,&job,Status::Succeeded); }
 let mut i=n; let mut op=vec![];
 while i<w.entries.len(){ let t=Instant::now(); let mut c=Catalog::open(&f).unwrap(); op.push(t.elapsed()); w.apply_some(&mut c,i..i+2).unwrap(); drop(c); v.push(t.elapsed()); i+=2; }
 v.sort(); op.sort(); println!("open median {:?} ; open+commit+close median {:?} p95 {:?} max {:?} n={}",op[op.len()/2],v[v.len()/2],v[v.len()*95/100],v[v.len()-1],v.len());
 let c=Catalog::open(&f).unwrap(); let t=Instant::now(); c.runs(&project(),20,&RunFilter::default()).unwrap(); println!("runs 20 {:?}",t.elapsed());
 let t=Instant::now(); let g=c.descendants(&project(),&digest("d@1")).unwrap(); println!("descendants {} {:?}",g.edges.len(),t.elapsed());
 let t=Instant::now(); let r=c.resolve_run(&project(),&"train".parse().unwrap()).unwrap(); println!("resolve {r} {:?}",t.elapsed());
 let t=Instant::now(); c.dump().unwrap(); println!("dump {:?} size {:?}",t.elapsed(), std::fs::metadata(&f).unwrap().len());
}
