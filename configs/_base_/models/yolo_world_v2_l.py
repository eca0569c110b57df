# YOLO-World v2, size L; the other sizes change depth, width and the last stage only.
norm_cfg = dict(type="BN", momentum=0.03, eps=0.001)
act_cfg = dict(type="SiLU", inplace=True)

model = dict(
    type="YOLOWorldDetector",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="MultiModalYOLOBackbone",
        image_model=dict(
            type="mmyolo.YOLOv8CSPDarknet",
            arch="P5",
            last_stage_out_channels=512,
            deepen_factor=1.0,
            widen_factor=1.0,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
        # The released checkpoints bring the text encoder's weights along.
        text_model=dict(
            type="CLIPTextBackbone", model_name="openai/clip-vit-base-patch32", pretrained=False
        ),
    ),
    neck=dict(
        type="YOLOWorldPAFPN",
        in_channels=[256, 512, 512],
        out_channels=[256, 512, 512],
        guide_channels=512,
        embed_channels=[128, 256, 256],
        num_heads=[4, 8, 8],
        deepen_factor=1.0,
        widen_factor=1.0,
        num_csp_blocks=3,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    bbox_head=dict(
        type="YOLOWorldHead",
        head_module=dict(
            type="YOLOWorldHeadModule",
            in_channels=[256, 512, 512],
            widen_factor=1.0,
            featmap_strides=[8, 16, 32],
            reg_max=16,
            embed_dims=512,
            num_classes=80,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
    ),
    test_cfg=dict(
        multi_label=True,
        nms_pre=30000,
        score_thr=0.001,
        nms=dict(type="nms", iou_threshold=0.7),
        max_per_img=300,
        keep_logits=True,
    ),
)
