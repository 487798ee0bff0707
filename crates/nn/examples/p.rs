use opledger_ir::*;use opledger_nn::*;
fn main(){
 let mut g=Graph::new(); let x=g.input("x",["b","n","c"]).unwrap();
 let a=SelfAttention::new(&mut g,&SelfAttentionConfig{key_dim:Some("d".into()),..SelfAttentionConfig::new("c")}).unwrap(); let y=a.forward(&mut g,x).unwrap(); g.output("y",y); println!("{g}");
 let mut g=Graph::new(); let x=g.input("x",["b","n","c"]).unwrap();
 let a=VitAttention::new(&mut g,&VitAttentionConfig::new("c","h")).unwrap(); let y=a.forward(&mut g,x).unwrap(); g.output("y",y); println!("{g}");
 let mut g=Graph::new(); let x=g.input("x",["b","height","width","c"]).unwrap();
 let a=WindowAttention::new(&mut g,&WindowAttentionConfig::new("c","h","s")).unwrap(); let y=a.forward(&mut g,x).unwrap(); g.output("y",y); println!("{g}");
 let mut g=Graph::new(); let x=g.input("x",["n","b","c"]).unwrap();
 let a=AttentionMlpStack::new(&mut g,&AttentionMlpStackConfig::default()).unwrap(); let y=a.forward(&mut g,x).unwrap(); g.output("y",y); println!("{g}");
}
