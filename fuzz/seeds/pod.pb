
,
web-1shop242Z

appwebZ
tierfront‚'
appB 
cpu
500m
memory
1Gi¢!
proxyB
cpu
1e-1ÂAlways¢
initB

cpu
2‚
cpu
10mÂ

cpu
1F
Running
PodScheduledTrue"€ßíÊ
ReadyTrue"€ßíÊ:€ßíÊ